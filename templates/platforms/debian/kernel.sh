# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Configure, check and build the kernel.  Everything that could differ from run to run is fixed here.
export KBUILD_BUILD_TIMESTAMP='1970-01-01 00:00:01 +0000' KBUILD_BUILD_USER=netvm KBUILD_BUILD_HOST=netvm KBUILD_BUILD_VERSION=1

say() { echo "netvm-stage: $*"; }

cd /build
say "unpack $linuxTarball"
dpkg-deb --fsys-tarfile "$linuxSource" | tar -xO "./usr/src/$linuxTarball" | xz -dc -T0 |
  tar -x --strip-components=1 --one-top-level=linux --no-same-owner \
    --exclude='*/Documentation/*/*' --exclude='*/tools/testing/*' \
    --exclude='*/drivers/gpu/*.[ch]' --exclude='*/sound/*.[ch]' --exclude='*/drivers/media/*.[ch]'
cd linux

say "configure"
make -s ARCH=x86 KCONFIG_ALLCONFIG="$seed" allnoconfig
python3 -B "$check" . .config "$requests"
# Estimates how many objects there are, for the progress line.  A build can do without.
python3 -B "$count" "$check" . .config x86 || true

say "compile"
# Not silent: netvm-build counts the objects.
make ARCH=x86 -j"$NIX_BUILD_CORES" bzImage

mkdir -p "$out"
cp arch/x86/boot/bzImage "$out/kernel"
cp .config "$out/kernel.config"
make -s ARCH=x86 kernelrelease > "$out/release"
