# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Read the Kconfig of the kernel's source: see read_kconfig.py.
cd /build
echo "netvm-stage: unpack the Kconfig of $linuxTarball"
dpkg-deb --fsys-tarfile "$linuxSource" | tar -xO "./usr/src/$linuxTarball" | xz -dc -T0 |
  tar -x --strip-components=1 --one-top-level=linux --no-same-owner --wildcards '*/Kconfig*' '*/Makefile' '*/scripts/*'

echo "netvm-stage: read it"
python3 -B "$reader" "$check" "$newer" linux "$out"
