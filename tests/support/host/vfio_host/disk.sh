# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Put the host's root together and make a file system of it; see disk.nix.
fresh=$NIX_BUILD_TOP/disk
mkdir -p "$out" "$fresh/nix/store"
for name in bin etc lib lib64 sbin usr var; do cp -a "$python/$name" "$fresh/"; done
cp -a "$qemu" "$qemuRoot" "$fresh/nix/store/"
shell=$(head -n 1 "$qemu/bin/qemu-system-x86_64" | cut -c 3-)
cp -a "${shell%/busybox sh}" "$fresh/nix/store/"
chmod -R u+w "$fresh"
rm -rf "$fresh"/usr/share/doc "$fresh"/usr/share/man "$fresh"/usr/share/locale "$fresh$qemuRoot"/usr/share/doc \
  "$fresh$qemuRoot"/usr/share/man "$fresh$qemuRoot"/usr/share/locale "$fresh$qemuRoot"/usr/share/icons
mkdir -p "$fresh/opt/netvm" "$fresh/opt/image" "$fresh/opt/scenario" "$fresh/sys" "$fresh/run" "$fresh/root" "$fresh/dev" "$fresh/proc" "$fresh/tmp" "$fresh/var/tmp"
cp -r "$package" "$fresh/opt/netvm/netvm_build"
chmod u+w "$fresh/opt/netvm/netvm_build"
cp -r "$data" "$fresh/opt/netvm/netvm_build/data"
cp -r "$imported" "$fresh/opt/imported"
cp -r "$scenario/." "$fresh/opt/scenario/"
cp -r "$image/." "$fresh/opt/image/"
chmod -R u+w "$fresh/opt"
# Under emulation, compiling what is imported would take longer than all else.
python3 -m compileall -q -f --invalidation-mode unchecked-hash -s "$fresh" -p / "$fresh/opt" "$fresh"/usr/lib/python3.* || true
ldconfig -r "$fresh" -f /dev/null
printf 'root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:alice:/tmp:/bin/sh\n' > "$fresh/etc/passwd"
printf 'root:x:0:\nalice:x:1000:\n' > "$fresh/etc/group"
echo "$qemu/bin/qemu-system-x86_64" > "$fresh/opt/qemu"
mkfs.erofs --quiet -T0 -U "00000000-0000-0000-0000-000000000000" --all-root -zlz4 -C65536 "$out/disk.img" "$fresh"
