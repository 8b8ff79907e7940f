# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# A kernel with modules, and in $out/build what further ones are compiled against: kernel_drivers.sh does so.
. "$modular"

say "keep the headers"
mkdir -p "$out/build"
{
  echo Makefile
  echo .config
  echo Module.symvers
  [ ! -e tools/objtool/objtool ] || echo tools/objtool/objtool
  find arch/x86 -maxdepth 1 -name 'Makefile*'
  printf '%s\n' arch/x86/include include scripts
} | tar -c --exclude='*.o' --exclude='.*.cmd' -T - | tar -x -C "$out/build"
