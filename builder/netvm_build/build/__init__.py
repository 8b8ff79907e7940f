# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""From a router and its kernel options to an image folder: the rendered tree, Debian's packages, Nix."""
