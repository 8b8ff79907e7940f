# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# nixpkgs' kernel with our configuration: docs/adr/0005-nixpkgs-kernel.md says why in this way.
{ pkgs }:
let
  inherit (pkgs) lib;
  inherit (pkgs.linuxKernel) kernels manualConfig;
  kernelRequests = import ../../kernel/requests.nix;

  # Reads the kernel's Kconfig where an option came out otherwise than asked.
  python = pkgs.buildPackages.python3.withPackages (packages: [ packages.kconfiglib ]);

  series = builtins.concatMap
    (name: let found = builtins.match "linux_([0-9]+)_([0-9]+)" name; in
      if found == null then [ ] else [ (lib.concatStringsSep "." found) ])
    (builtins.attrNames kernels);
in
# Firmware is Debian's alone, so none is asked for here.
{ version, structuredExtraConfig, check, count, modules, firmware }:
let
  seed = builtins.toFile "seed" (kernelRequests.seed structuredExtraConfig);
  requests = builtins.toFile "requests.json" (builtins.toJSON (kernelRequests.requests structuredExtraConfig));

  found = kernels."linux_${lib.replaceStrings [ "." ] [ "_" ] version}" or (throw ''
    this nixpkgs has no Linux ${version}
    hint: set kernel.version to one that it has (${lib.concatStringsSep ", " series}), or take another nixpkgs'');
  ours = found.override {
    inherit structuredExtraConfig;
    # The router's kernel is what is asked for, and no more.
    enableCommonConfig = false;
    autoModules = false;
    defconfig = "allnoconfig";
    # nixpkgs' own check stops before ours could say what was missing, and at every `no` of an option that is not
    # there.
    ignoreConfigErrors = true;
  };

  # allnoconfig reads the seed, so that an option which another one brings into sight is off here too, unless asked for.
  configfile = ours.configfile.overrideAttrs (old: {
    env = (old.env or { }) // { KCONFIG_ALLCONFIG = seed; };
  });

  kernel = manualConfig {
    inherit (ours) version modDirVersion src kernelPatches;
    inherit configfile;
    # What nixpkgs' own rules look at; with modules there is an output of that name, which make_drivers.py reads.
    config = { CONFIG_MODULES = if modules then "y" else "n"; CONFIG_RUST = "n"; CONFIG_FW_LOADER = "n"; };
  };
in
# → { kernel, kernel.config }
kernel.overrideAttrs (old: {
  # For KERNEL_LZ4 and KERNEL_LZO; programs for other compressions are nixpkgs' own choice or in its stdenv.
  nativeBuildInputs = old.nativeBuildInputs ++ [ pkgs.buildPackages.lz4 pkgs.buildPackages.lzop ];
  # What is compiled is what is checked.
  postConfigure = (old.postConfigure or "") + ''
    ${python}/bin/python3 -B ${check} . "$buildRoot/.config" ${requests}
    ${python}/bin/python3 -B ${count} ${check} . "$buildRoot/.config" x86 || true
    echo "netvm-stage: compile"
  '';
  postInstall = (old.postInstall or "") + ''
    mv "$out/bzImage" "$out/kernel"
    cp "$buildRoot/.config" "$out/kernel.config"
  '';
})
