# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# The kernel's source with patches, as a package like the one that Debian has it in, so that kernel.sh takes either.
# On its own, so that a patch which doesn't apply is told before anything is configured, and a change of an option
# doesn't apply them again.
say() { echo "netvm-stage: $*"; }

cd /build
say "unpack $linuxTarball"
dpkg-deb --fsys-tarfile "$linuxSource" | tar -xO "./usr/src/$linuxTarball" | xz -dc -T0 |
  tar -x --strip-components=1 --one-top-level=linux --no-same-owner

say "patch"
python3 -B "$applier" linux "$patches"/*.patch

say "pack"
mkdir -p deb/DEBIAN deb/usr/src "$out"
# It is unpacked again at once, so speed counts more than size.
tar -c --sort=name --mtime=@1 --owner=0 --group=0 --numeric-owner linux | xz -0 -T0 > "deb/usr/src/$linuxTarball"
printf '%s\n' "Package: linux-source-patched" "Version: 1" "Architecture: all" "Maintainer: netvm-build" \
  "Description: Linux with the patches of a spec" > deb/DEBIAN/control
dpkg-deb -Znone --root-owner-group --build deb "$out/linux-source.deb"
