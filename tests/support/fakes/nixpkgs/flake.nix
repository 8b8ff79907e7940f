# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
{
  outputs = { self }: {
    legacyPackages.x86_64-linux =
      import ./pkgs/top-level/impure.nix { system = "x86_64-linux"; config = { }; overlays = [ ]; };
  };
}
