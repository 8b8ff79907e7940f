# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# List what is in the finished root, and where it is from; see list_contents.py.
unpacked=$NIX_BUILD_TOP/root
fsck.erofs --extract="$unpacked" "$rootfs/rootfs.img" >&2
# shellcheck disable=SC2086 # $debs is a list
python3 -I -B "$lister" "$lock" "$unpacked" "$tree" "$extras" "$linked" "$sources" "$out" $debs
