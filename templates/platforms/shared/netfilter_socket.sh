# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# What compile_ruleset.py preloads into nft.
${CC:-gcc} -O2 -shared -fPIC -Wall -Wextra -Wl,--build-id=none -o "$out" "$source" -ldl
