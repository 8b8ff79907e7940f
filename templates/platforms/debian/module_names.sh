# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Which modules the options of one spec make; see module_names.py.
python3 -B "$namer" names "$index" "$options" "$out"
