# Make the guest's root file system; see make_rootfs.py.
mkdir -p "$out" /build/root
# The kernel starts python by this file, so what is compiled here must be what runs there.
python3 -I -B "$maker" /build/root "$tree" "$programs" "$modules" $parts
ldconfig -r /build/root -f /dev/null
mkfs.erofs --quiet -T0 -U "00000000-0000-0000-0000-000000000000" --all-root -zlz4hc,12 -C65536 -Eztailpacking,fragments,dedupe \
  "$out/rootfs.img" /build/root
