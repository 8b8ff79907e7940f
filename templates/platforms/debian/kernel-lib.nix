# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# lib.kernel with nixpkgs' meaning (lib/kernel.nix there), so that one structuredExtraConfig serves both platforms.
{
  yes = { tristate = "y"; optional = false; };
  module = { tristate = "m"; optional = false; };
  no = { tristate = "n"; optional = false; };
  unset = { tristate = null; optional = false; };
  freeform = text: { freeform = text; optional = false; };
  option = asked: asked // { optional = true; };
}
