# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Make the guest's root file system; see make_rootfs.py.
fresh=$NIX_BUILD_TOP/root
mkdir -p "$out" "$fresh"
# The kernel starts python by this file, so what is compiled here must be what runs there.
# shellcheck disable=SC2086 # $parts is a list
python3 -I -B "$maker" "$fresh" "$tree" "$programs" "$modules" $parts
[ -z "$drivers" ] || cp -r "$drivers/tree/." "$fresh/"
# What each country allows on the air.
if [ -n "${regdb:-}" ]; then
  mkdir -p "$fresh/usr/lib/firmware"
  for suffix in "" .p7s; do cp "$regdb$suffix-upstream" "$fresh/usr/lib/firmware/regulatory.db$suffix"; done
fi
cp "$ruleset" "$fresh/etc/netvm/ruleset.nlb"
# What the spec adds; see add_extras.py.
# shellcheck disable=SC2086 # $added and $parts are lists
[ -z "${extras:-}" ] || python3 -I -B "$adder" "$maker" "$fresh" "$extras" "$added" $parts
# Debian's loader finds libraries by its cache; those of the Nix store are found by their RPATHs.
[ ! -e "$fresh/usr/lib/x86_64-linux-gnu" ] || ldconfig -r "$fresh" -f /dev/null
# Level 12 would make it 0.6 % smaller and take five times as long.
mkfs.erofs --quiet -T0 -U "00000000-0000-0000-0000-000000000000" --all-root -zlz4hc,9 -C65536 -Eztailpacking,fragments,dedupe \
  "$out/rootfs.img" "$fresh"
# See make_verity.py.
[ -z "$verity" ] || python3 -I -B "$verityMaker" "$out/rootfs.img" "$out/verity"
