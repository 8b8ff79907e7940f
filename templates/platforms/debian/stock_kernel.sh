# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Take the kernel that Debian built out of its package, and hold it against what is asked of it; see stock_kernel.py.
# shellcheck disable=SC2086 # $known is a list
python3 -I -B "$taker" "$check" "$unpacked" "$requests" "$out" $known
