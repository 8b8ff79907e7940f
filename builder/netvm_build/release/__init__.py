# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What others need to check an image: hashes, signatures, a second build."""
