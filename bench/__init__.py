# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Benchmarks, and what each is compared with: `python -m bench`.  docs/reference/benchmarks.md explains the rows.

It uses `netvm_build` as any program would; `netvm_build` knows nothing of it.
"""
