# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Read the Kconfig of the kernel's source: see read_kconfig.py.
cd /build
echo "netvm-stage: unpack the Kconfig of $linuxTarball"
dpkg-deb --fsys-tarfile "$linuxSource" | tar -xO "./usr/src/$linuxTarball" | xz -dc -T0 |
  tar -x --strip-components=1 --one-top-level=linux --no-same-owner --wildcards '*/Kconfig*' '*/Makefile' '*/scripts/*'

# Linux 7 has `depends on X if Y`, which kconfiglib 14.1 doesn't know: X, or Y is n (menu_add_dep of scripts/kconfig/menu.c).
grep -rlE --include='Kconfig*' '^[[:space:]]+depends on [^#$]+ if ' linux | while read -r file; do
  sed -i -E '/^[[:space:]]+depends on [^#$]+ if /{
    s/^([[:space:]]+depends on )([^#$]+) if ([A-Za-z0-9_]+)$/\1(\2) || \3 = n/
    s/^([[:space:]]+depends on )([^#$]+) if !([A-Za-z0-9_]+)$/\1(\2) || \3 != n/
    s/^([[:space:]]+depends on )([^#$]+) if ([^#$]+)$/\1(\2) || !(\3)/
  }' "$file"
done

echo "netvm-stage: read it"
python3 -B "$reader" "$check" linux "$out"

# What menuconfig is run with, elsewhere.
mkdir "$out/python"
cp /usr/lib/python3/dist-packages/kconfiglib.py /usr/lib/python3/dist-packages/menuconfig.py "$out/python/"
