# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# QEMU from the lock, runnable on any x86-64 Linux: its own loader, libraries, firmware and modules, nothing of the host's.
# And passt, which serves its user network, unless the lock is older than that.
bb() { "$busybox" "$@"; }
binary=$root/usr/bin/qemu-system-x86_64
libraries=$root/usr/lib/x86_64-linux-gnu

bb mkdir -p "$out/bin" "$out/libexec"
# QEMU would load modules that it misses here from the same folder of the host, made for another QEMU.  So that folder's
# name is replaced by one that never exists, of the same length, since it lies in the binary.
bb sed 's|/usr/lib/x86_64-linux-gnu/qemu|/nix/not/x86_64-linux-gnu/qemu|g' "$binary" > "$out/libexec/qemu-system-x86_64"
[ "$(bb stat -c %s "$binary")" = "$(bb stat -c %s "$out/libexec/qemu-system-x86_64")" ]

bb cat > "$out/bin/qemu-system-x86_64" <<END
#!$busybox sh
export QEMU_MODULE_DIR=$libraries/qemu
exec $root/usr/lib64/ld-linux-x86-64.so.2 --argv0 qemu-system-x86_64 --library-path $libraries:$libraries/pulseaudio \\
  $out/libexec/qemu-system-x86_64 -L $root/usr/share/qemu -L $root/usr/share/seabios -L $root/usr/lib/ipxe/qemu "\$@"
END
bb chmod 755 "$out/bin/qemu-system-x86_64" "$out/libexec/qemu-system-x86_64"

[ -e "$root/usr/bin/passt" ] || exit 0
bb cat > "$out/bin/passt" <<END
#!$busybox sh
exec $root/usr/lib64/ld-linux-x86-64.so.2 --argv0 passt --library-path $libraries $root/usr/bin/passt "\$@"
END
bb chmod 755 "$out/bin/passt"
