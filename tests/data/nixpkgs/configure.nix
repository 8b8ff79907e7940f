# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# The configuration that nixpkgs' own script makes of our options, on Debian's kernel source of the same series:
# nixpkgs' toolchain would have to be downloaded, and its script is what there is doubt about.
{ debianTree, nixpkgsTree }:
let
  lock = builtins.fromJSON (builtins.readFile (debianTree + "/netvm.lock"));
  packages = import (debianTree + "/platforms/debian/packages.nix") { inherit lock; system = "x86_64-linux"; };
  router = import (nixpkgsTree + "/router.nix");
  inherit ((import nixpkgsTree).kernel) configfile;
  kernelRequests = import (nixpkgsTree + "/kernel/requests.nix");
  kernelLib = import (debianTree + "/platforms/debian/kernel-lib.nix");
  options = import (nixpkgsTree + "/kernel/options.nix") { lib.kernel = kernelLib; };
in
packages.runIn {
  name = "nixpkgs-configuration";
  root = packages.root "toolchain";
  script = ./configure.sh;
  linuxSource = builtins.head (packages.debs "linux");
  linuxTarball = "linux-source-${router.version}.tar.xz";
  defconfig = "allnoconfig";
  inherit (configfile) generateConfig autoModules preferBuiltin kernelArch ignoreConfigErrors KCONFIG_ALLCONFIG;
  answers = builtins.toFile "answers" configfile.moduleStructuredConfig.intermediateNixConfig;
  check = nixpkgsTree + "/kernel/check_config.py";
  requests = builtins.toFile "requests.json" (builtins.toJSON (kernelRequests.requests options));
}
