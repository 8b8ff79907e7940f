# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Unpack $debs into $out, which becomes a root one can chroot into.  No maintainer script runs.
bb() { "$busybox" "$@"; }

bb mkdir -p "$out"
for deb in $debs; do
  bb dpkg-deb -x "$deb" "$out"
done
# Debian's merged /usr, which base-files brings only where it is among the packages.
for dir in bin sbin lib lib64; do
  bb mkdir -p "$out/usr/$dir"
  [ -e "$out/$dir" ] || bb ln -s "usr/$dir" "$out/$dir"
done
# What update-alternatives would link.
[ -e "$out/usr/bin/awk" ] || [ ! -e "$out/usr/bin/mawk" ] || bb ln -s mawk "$out/usr/bin/awk"
# Mount points for enter.sh: the store is read-only by then.
for dir in build dev nix/store proc tmp; do
  bb mkdir -p "$out/$dir"
done
