# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# The kernel's source of an archive that a spec names, as a package like the one that Debian has it in, so that kernel.sh
# takes either.  A release tarball goes in as it is; others are packed again: those of another compression, and those
# without a folder at the top.
say() { echo "netvm-stage: $*"; }

# As builder/netvm_build/util/linux_source.py reads it of a Makefile.
version_of() {
  awk -F '=' '/^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=/ {
    gsub(/[ \t]/, ""); if (!($1 in is)) is[$1] = $2
  } END { if ("VERSION" in is) printf "%s.%s%s%s\n", is["VERSION"], is["PATCHLEVEL"],
    is["SUBLEVEL"] == "" ? "" : "." is["SUBLEVEL"], is["EXTRAVERSION"] }'
}

cd /build
say "look into the archive"
first=$(tar -tf "$archive" 2>/dev/null | head -n 1)
folder=${first%%/*}
found=$(tar -xOf "$archive" --occurrence=1 "$folder/Makefile" 2>/dev/null | version_of)

mkdir -p deb/DEBIAN deb/usr/src "$out"
if [ -n "$found" ] && [ "$(head -c 5 "$archive" | tail -c 4)" = 7zXZ ]; then
  cp "$archive" "deb/usr/src/$linuxTarball"
else
  say "unpack the archive"
  mkdir unpacked
  tar -xf "$archive" -C unpacked --no-same-owner
  [ -e unpacked/Makefile ] || mv unpacked/* linux
  [ -e linux ] || mv unpacked linux
  found=$(version_of < linux/Makefile)
  say "pack"
  # It is unpacked again at once, so speed counts more than size.
  tar -c --sort=name --mtime=@1 --owner=0 --group=0 --numeric-owner linux | xz -0 -T0 > "deb/usr/src/$linuxTarball"
fi
[ "$found" = "$linux" ] || {
  echo "hint: the archive has Linux $found, and the lock says $linux: make the lock again with netvm-build lock"
  exit 1
}
printf '%s\n' "Package: linux-source-archived" "Version: 1" "Architecture: all" "Maintainer: netvm-build" \
  "Description: Linux of the archive that a spec names" > deb/DEBIAN/control
dpkg-deb -Znone --root-owner-group --build deb "$out/linux-source.deb"
