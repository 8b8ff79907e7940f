# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# A kernel with all built in, and what its drivers say of themselves: make_drivers.py reads there which firmware they name.
# A file of its own, so that kernels without firmware stay as they are, to the byte.
. "$builtin"

mkdir -p "$out/lib/modules/$(cat "$out/release")"
cp modules.builtin modules.builtin.modinfo "$out/lib/modules/$(cat "$out/release")/"
