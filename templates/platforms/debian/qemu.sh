# QEMU from the lock, runnable on any x86-64 Linux: its own loader, libraries, firmware and modules, nothing of the host's.
"$busybox" mkdir -p "$out/bin"
for binary in "$root"/usr/bin/qemu-system-x86_64 "$root"/usr/bin/qemu-img; do
  [ -e "$binary" ] || continue
  wrapper=$out/bin/${binary##*/}
  firmware=
  case $binary in */qemu-system-*) firmware="-L $root/usr/share/qemu -L $root/usr/share/seabios -L $root/usr/lib/ipxe/qemu" ;; esac
  {
    echo "#!$busybox sh"
    echo "export QEMU_MODULE_DIR=$root/usr/lib/x86_64-linux-gnu/qemu"
    echo "exec $root/usr/lib64/ld-linux-x86-64.so.2 --argv0 ${binary##*/} --library-path $root/usr/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu/pulseaudio $binary $firmware \"\$@\""
  } > "$wrapper"
  "$busybox" chmod 755 "$wrapper"
done
