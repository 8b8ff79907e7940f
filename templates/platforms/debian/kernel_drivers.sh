# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Compile the drivers in the folders of $sources for $kernel, as Documentation/kbuild/modules.rst says.  $out is that
# kernel with these modules beside its own; `modules` has their names, which make_drivers.py takes.
export KBUILD_BUILD_TIMESTAMP='1970-01-01 00:00:01 +0000' KBUILD_BUILD_USER=netvm KBUILD_BUILD_HOST=netvm

say() { echo "netvm-stage: $*"; }
release=$(cat "$kernel/release")

mkdir -p "$out"
cp -rs "$kernel/lib" "$out/"
chmod -R u+w "$out"
for file in kernel kernel.config release; do ln -s "$kernel/$file" "$out/$file"; done

for source in "$sources"/*; do
  name=${source##*/}
  say "compile $name"
  cp -r "$source" "/build/$name"
  chmod -R u+w "/build/$name"
  cd "/build/$name"
  [ -e Kbuild ] && file=Kbuild || file=Makefile
  # obj-$(CONFIG_R8125) is for a driver that may get into the kernel one day: here its option is always on.
  own=$(sed -n 's/^[[:space:]]*obj-\$[({]\(CONFIG_[A-Za-z0-9_]*\)[)}].*/\1/p' "$file" | sort -u |
    while read -r option; do grep -q "^$option=" "$kernel/build/.config" || printf '%s=m ' "$option"; done)
  # shellcheck disable=SC2086 # $own is a list
  make -C "$kernel/build" ARCH=x86 M="$PWD" -j"$NIX_BUILD_CORES" $own modules || {
    echo "hint: $name doesn't compile for Linux $release: what the compiler says is in the log"
    exit 1
  }
  # shellcheck disable=SC2086 # $own is a list
  make -s -C "$kernel/build" ARCH=x86 M="$PWD" $own INSTALL_MOD_PATH="$out" INSTALL_MOD_DIR="updates/$name" \
    INSTALL_MOD_STRIP=1 DEPMOD=true modules_install
  [ -d "$out/lib/modules/$release/updates/$name" ] || {
    echo "hint: the Kbuild of $name makes no module: it needs a line such as obj-m := NAME.o"
    exit 1
  }
done
find "$out/lib/modules/$release/updates" -name '*.ko' | sed 's|.*/||; s|\.ko$||; s|-|_|g' | sort > "$out/modules"
