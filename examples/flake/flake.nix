# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
{
  description = "A router VM";

  # Where netvm-build is, once for all flakes of this machine: nix registry add netvm-build URL
  inputs.netvm-build.url = "netvm-build";

  outputs = { self, netvm-build }: {
    packages.x86_64-linux.default = netvm-build.lib.mkRouter { src = ./.; };
    apps.x86_64-linux.default = netvm-build.apps.x86_64-linux.default;
  };
}
