# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# A kernel with loadable modules: what kernel.sh makes, and the modules below $out/lib/modules.
# A file of its own, so that kernels without modules stay as they are, to the byte.
. "$builtin"

say "compile modules"
make ARCH=x86 -j"$NIX_BUILD_CORES" modules
# Stripped of what only a debugger reads.  There is no depmod here, and no need: make_drivers.py reads the modules.
make -s ARCH=x86 INSTALL_MOD_PATH="$out" INSTALL_MOD_STRIP=1 DEPMOD=true modules_install
rm -f "$out"/lib/modules/*/build "$out"/lib/modules/*/source
