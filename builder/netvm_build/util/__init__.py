# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What every room may use, and what knows none of them: errors, processes, files, text."""
