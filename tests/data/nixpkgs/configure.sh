# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# What nixpkgs' linux-config does in its buildPhase, with its own script, on Debian's kernel source in Debian's root.
export ARCH="$kernelArch" CROSS_COMPILE='' DEBUG=''
cd /build
dpkg-deb --fsys-tarfile "$linuxSource" | tar -xO "./usr/src/$linuxTarball" | xz -dc -T0 |
  tar -x --strip-components=1 --one-top-level=linux --no-same-owner --exclude='*/Documentation/*/*' --exclude='*/drivers/gpu/*.[ch]'
cd linux
sed -e '/fflush(stdout);/i\printf("###");' -i scripts/kconfig/conf.c
make -s O=build "$defconfig" ARCH="$ARCH"
KERNEL_CONFIG=$answers AUTO_MODULES=$autoModules PREFER_BUILTIN=$preferBuiltin BUILD_ROOT=build SRC=. MAKE_FLAGS='' \
  perl -w "$generateConfig" > /dev/null
make -s O=build ARCH="$ARCH" oldconfig > /dev/null
python3 -B "$check" . build/.config "$requests"
mkdir -p "$out"
cp build/.config "$out/kernel.config"
