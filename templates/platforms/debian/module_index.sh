# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Which modules the kernel's options make, of the whole source, once for each; see module_names.py.
cd /build
dpkg-deb --fsys-tarfile "$linuxSource" | tar -xO "./usr/src/$linuxTarball" | xz -dc -T0 |
  tar -x --strip-components=1 --one-top-level=linux --no-same-owner --wildcards '*/Makefile' '*/Kbuild' '*/Kconfig*'
python3 -B "$namer" index linux "$out"
