# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# The nixpkgs platform: every part of the image from a nixpkgs tree, which pins them all; see docs/how-to/nixpkgs.md.
{ nixpkgs, system ? "x86_64-linux" }:
let
  # Not nixpkgs' default.nix, which refuses a Nix older than it is tested with: many work, and where one does not, the
  # note is what netvm-build gives as the reason.
  features = nixpkgs + "/lib/minfeatures.nix";
  oldest = import (nixpkgs + "/lib/minver.nix");  # what an older nixpkgs has instead
  missing =
    if builtins.pathExists features then map (feature: feature.description) (import features).missing
    else if builtins.compareVersions oldest builtins.nixVersion == 1 then [ "at least ${oldest}" ]
    else [ ];
  noted =
    if missing == [ ] then (value: value)
    else
      let what = builtins.concatStringsSep ", " missing; in
      builtins.trace "netvm-note: this nixpkgs asks for a newer Nix than ${builtins.nixVersion}: ${what}";

  # Nothing of the user's own configuration gets in.
  pkgs = noted (import (nixpkgs + "/pkgs/top-level/impure.nix") { inherit system; config = { }; overlays = [ ]; });

  connman = import ./connman.nix { inherit pkgs; };
  python = pkgs.python3;

  # What init starts, by the names it uses; make_rootfs.py takes what these need.  The whole Python, since the minimal
  # one lacks ctypes and zlib: only what is imported gets into the image.
  guest = pkgs.runCommand "guest" { } ''
    mkdir -p $out/usr/bin $out/usr/sbin $out/usr/lib $out/usr/lib64
    ln -s ${python}/bin/python3 ${pkgs.dbus}/bin/dbus-daemon $out/usr/bin/
    ln -s ${connman}/bin/connmand $out/usr/sbin/
    ln -s ${python}/lib/${python.libPrefix} $out/usr/lib/
    ln -s ${pkgs.stdenv.cc.bintools.dynamicLinker} $out/usr/lib64/
  '';

  versions = {
    connman = connman.version;
    dbus = pkgs.dbus.version;
    nftables = pkgs.nftables.version;
    nixpkgs = pkgs.lib.version;
    python = python.version;
  };
in
{
  lib.kernel = pkgs.lib.kernel;

  # → { kernel, kernel.config }
  buildKernel = import ./kernel.nix { inherit pkgs; };

  # → the ruleset as a netlink batch
  compileRuleset = { ruleset, compiler, netfilterSocket }: pkgs.runCommand "ruleset.nlb"
    {
      nativeBuildInputs = [ python pkgs.nftables ];
      inherit ruleset compiler;
      netfilterSocket = pkgs.runCommandCC "netfilter_socket.so" { source = netfilterSocket; }
        ". ${../shared/netfilter_socket.sh}";
    } ". ${../shared/ruleset.sh}";

  # → { tree }: the modules for the root; `own` is a folder with firmware of the user's
  collectDrivers = { kernel, wanted, own ? "" }: pkgs.runCommand "drivers"
    {
      nativeBuildInputs = [ python ];
      maker = ../shared/make_drivers.py;
      taker = ../shared/take_firmware.py;
      kernel = kernel.modules or kernel;
      # Most modules are called as their option is; nixpkgs' source is not looked at for the others.
      wanted = builtins.toFile "drivers.json" (builtins.toJSON (wanted // {
        names = wanted.names ++ map pkgs.lib.toLower wanted.options;
      }));
      firmware = own;
      busybox = "";
    } ". ${../shared/drivers.sh}";

  # The guest's root as a file system image: what `tree` holds with the ruleset, and the programs it runs with the
  # libraries they need.
  # With verity, the hash tree follows it, and a file `verity` tells the kernel of both.
  # `extras` is what the spec adds: files, and no packages.
  buildRootfs = { tree, ruleset, programs, modules, verity, drivers, extras ? null, packaged ? false }:
    pkgs.runCommand "rootfs" ({
      nativeBuildInputs = [ python pkgs.buildPackages.erofs-utils ];
      maker = ../shared/make_rootfs.py;
      verityMaker = ../shared/make_verity.py;
      parts = [ guest ];
      inherit tree ruleset programs modules verity drivers;
    } // (if extras == null then { } else {
      inherit extras;
      adder = ../shared/add_extras.py;
      added = [ ];
    })) ". ${../shared/rootfs.sh}";

  # → { manifest.json, kernel, kernel.config, rootfs.img }.  The manifest names `qemu`, so whatever keeps the image from
  # the garbage collector keeps that too.
  assemble = { manifest, kernel, rootfs, drivers, contents, qemu }: pkgs.runCommand "image"
    {
      nativeBuildInputs = [ python ];
      maker = ../shared/make_image.py;
      inherit kernel rootfs drivers contents qemu;
      lock = "";
      manifest = builtins.toFile "manifest.json" (builtins.toJSON
        (manifest // { versions = versions // { linux = kernel.version; }; }));
    } ". ${../shared/image.sh}";

  # A QEMU for the host; this one emulates x86-64 alone, and nixpkgs' cache has it.
  qemu = pkgs.qemu_kvm;
}
