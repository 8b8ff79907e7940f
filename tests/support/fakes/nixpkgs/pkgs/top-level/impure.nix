# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# A nixpkgs in miniature: the names, functions and arguments that the nixpkgs platform uses, with nixpkgs' meaning, and
# no package that could be built.  Each package remembers in `asked` what it was made with, and its derivation says it
# too.
let
  # As in nixpkgs: what the user has set up, unless it is given.
  users = name: default:
    let file = builtins.getEnv "HOME" + "/.config/nixpkgs/${name}.nix"; in
    if builtins.pathExists file then import file else default;
in
{ system, config ? users "config" { }, overlays ? users "overlays" [ ] }:
assert config == { } && overlays == [ ];
let
  inherit (builtins) attrNames compareVersions concatStringsSep elem filter isFunction replaceStrings toJSON;

  letters = text: builtins.genList (number: builtins.substring number 1 text) (builtins.stringLength text);

  lib = {
    inherit concatStringsSep replaceStrings;
    version = "26.05pre-miniature";
    toLower = replaceStrings (letters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (letters "abcdefghijklmnopqrstuvwxyz");
    versionAtLeast = have: wanted: compareVersions wanted have != 1;
    removePrefix = prefix: text: builtins.substring (builtins.stringLength prefix) (-1) text;
    splitString = separator: text: filter builtins.isString (builtins.split separator text);
    kernel = {
      yes = { tristate = "y"; optional = false; };
      module = { tristate = "m"; optional = false; };
      no = { tristate = "n"; optional = false; };
      unset = { tristate = null; optional = false; };
      freeform = text: { freeform = text; optional = false; };
      option = asked: asked // { optional = true; };
    };
  };

  # `arguments` are those that the package can be overridden by.
  package = { name, version ? "1", arguments ? [ ], asked ? { } }@made:
    derivation {
      name = "${name}-${version}";
      inherit system;
      builder = "/bin/sh";
      args = [ "-c" "echo the miniature builds nothing >&2; exit 1" ];
      asked = toJSON asked;
    } // asked // {
      inherit version asked;
      override = changes:
        let unknown = filter (name: !elem name arguments) (attrNames changes); in
        if unknown == [ ] then package (made // { asked = asked // changes; })
        else throw "${name} called with unexpected argument '${concatStringsSep "', '" unknown}'";
      overrideAttrs = change:
        let changes = if isFunction change then change ({ nativeBuildInputs = [ ]; } // asked) else change; in
        package (made // { asked = asked // changes; version = changes.version or version; });
    };

  kernel = version:
    let
      plain = package {
        name = "linux";
        inherit version;
        arguments = [ "structuredExtraConfig" "enableCommonConfig" "autoModules" "defconfig" "ignoreConfigErrors" ];
      };
    in
    plain // {
      override = changes: plain.override changes // {
        modDirVersion = version;
        src = package { name = "linux-source"; inherit version; };
        kernelPatches = [ ];
        configfile = package { name = "linux-config"; inherit version; asked = changes; };
      };
    };

  python3 = package { name = "python3"; version = "3.13.1"; } // {
    libPrefix = "python3.13";
    withPackages = choose: package { name = "python3-env"; asked.packages = choose python3Packages; };
  };

  python3Packages = builtins.listToAttrs (map (name: { inherit name; value = package { inherit name; }; }) [
    "click" "hatchling" "hypothesis" "jinja2" "jsonschema" "kconfiglib" "msgspec" "mypy" "pytest" "pyyaml" "qemu-qmp"
    "rich" "scapy" "types-pyyaml"
  ]) // {
    buildPythonApplication =
      { pname, version, pyproject, src, build-system, dependencies, pythonImportsCheck, postInstallCheck, meta }:
      package { name = pname; inherit version; asked = { inherit pyproject src build-system dependencies; }; };
  };
in
rec {
  inherit lib python3 python3Packages;
  ruff = package { name = "ruff"; };
  mkShell = { packages }: package { name = "nix-shell"; asked = { inherit packages; }; };
  buildPackages = { inherit python3 lz4 lzop erofs-utils; };
  lz4 = package { name = "lz4"; };
  lzop = package { name = "lzop"; };
  erofs-utils = package { name = "erofs-utils"; };
  dbus = package { name = "dbus"; version = "1.16.2"; };
  nftables = package { name = "nftables"; version = "1.1.3"; };
  qemu_kvm = package { name = "qemu"; version = "10.1.0"; };
  stdenv.cc.bintools.dynamicLinker = "${package { name = "glibc"; version = "2.42"; }}/lib/ld-linux-x86-64.so.2";

  # With the holes that the platform must not let in.
  connmanMinimal = package {
    name = "connman";
    version = "1.44";
    arguments = [ "firewallType" "enableWifi" "enableL2tp" ];
    asked.patches = [ "libppp-compat.h.patch" ];
  };

  linuxKernel.kernels = { linux_6_12 = kernel "6.12.99"; linux_6_18 = kernel "6.18.9"; linux_testing = kernel "6.19"; };
  linuxKernel.manualConfig = { version, modDirVersion, src, kernelPatches, configfile, config }: package {
    name = "linux";
    inherit version;
    asked = { inherit modDirVersion src kernelPatches configfile config; };
  };

  fetchurl = { url, hash }: package { name = baseNameOf url; asked = { inherit url hash; }; };
  runCommand = name: environment: script: package { inherit name; asked = environment // { inherit script; }; };
  runCommandCC = runCommand;
}
