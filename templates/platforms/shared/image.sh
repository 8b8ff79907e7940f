# Lay out the image folder and write its manifest; see make_image.py.
mkdir -p "$out"
cp "$kernel/kernel" "$kernel/kernel.config" "$rootfs/rootfs.img" "$out/"
python3 -I -B "$maker" "$manifest" "$rootfs" "$out"
