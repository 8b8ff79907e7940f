# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Lay out the image folder and write its manifest; see make_image.py.
mkdir -p "$out"
cp "$kernel/kernel" "$kernel/kernel.config" "$rootfs/rootfs.img" "$out/"
[ ! -e "$drivers/initrd" ] || cp "$drivers/initrd" "$out/"
[ -z "$lock" ] || cp "$lock" "$out/netvm.lock"
[ -z "$contents" ] || cp "$contents" "$out/contents.json"
python3 -I -B "$maker" "$manifest" "$rootfs" "$out" "$kernel/options.json" "$qemu"
