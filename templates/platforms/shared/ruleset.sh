# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Compile the firewall; see compile_ruleset.py.
python3 -I -B "$compiler" "$ruleset" "$out" "$netfilterSocket" "$(command -v nft)"
