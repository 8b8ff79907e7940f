# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# In the form of nixpkgs' own: what it asks of Nix, and which of that is missing here.
let
  features = [
    {
      description = "`builtins.nixVersion` reports at least 2.3";
      condition = builtins.compareVersions "2.3" builtins.nixVersion != 1;
    }
  ];
in
{ missing = builtins.filter (feature: !feature.condition) features; }
