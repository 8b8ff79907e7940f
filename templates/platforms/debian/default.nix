# The debian platform: every part of the image from Debian's packages, pinned by the lock, built in Nix's sandbox.
{ lock, system ? "x86_64-linux" }:
let
  packages = import ./packages.nix { inherit lock system; };
  kernelRequests = import ../../kernel/requests.nix;
  source = part: file: packages.fetch lock.sources.${part}.files.${file};
in
rec {
  lib.kernel = import ./kernel-lib.nix;

  # → { kernel, kernel.config, release }
  buildKernel = { version, structuredExtraConfig, check }: packages.runIn {
    name = "linux-${packages.version "linux"}";
    root = packages.root "toolchain";
    script = ./kernel.sh;
    linuxSource = builtins.head (packages.debs "linux");
    linuxTarball = "linux-source-${version}.tar.xz";
    seed = builtins.toFile "seed" (kernelRequests.seed structuredExtraConfig);
    requests = builtins.toFile "requests.json" (builtins.toJSON (kernelRequests.requests structuredExtraConfig));
    inherit check;
  };

  connman = packages.runIn {
    name = "connman-${packages.version "connman"}";
    root = packages.root "connman-dev";
    script = ./connman.sh;
    missing = ./connman-missing.c;
    ours = [ ../shared/connman-no-link-local.patch ../shared/connman-host-name.patch ];
    orig = source "connman" "orig";
    debian = source "connman" "debian";
  };

  # → the ruleset as a netlink batch
  compileRuleset = { ruleset, compiler, netfilterSocket }: packages.runIn {
    name = "ruleset.nlb";
    root = packages.root "imager";
    script = ../shared/ruleset.sh;
    inherit ruleset compiler;
    netfilterSocket = packages.runIn {
      name = "netfilter_socket.so";
      root = packages.root "connman-dev";
      script = ../shared/netfilter_socket.sh;
      source = netfilterSocket;
    };
  };

  # The guest's root as a file system image: what `tree` holds with the ruleset, and the programs it runs with the libraries they need.
  buildRootfs = { tree, ruleset, programs, modules }: packages.runIn {
    name = "rootfs";
    root = packages.root "imager";
    script = ../shared/rootfs.sh;
    maker = ../shared/make_rootfs.py;
    parts = [ (packages.root "guest") connman ];
    inherit tree ruleset programs modules;
  };

  # → { manifest.json, kernel, kernel.config, rootfs.img }
  assemble = { manifest, kernel, rootfs }: packages.runIn {
    name = "image";
    root = packages.root "imager";
    script = ../shared/image.sh;
    maker = ../shared/make_image.py;
    inherit kernel rootfs;
    manifest = builtins.toFile "manifest.json" (builtins.toJSON (manifest // { inherit (lock) versions; }));
  };

  # A QEMU for the host, so that every machine tests with the same one.
  qemu = packages.derive {
    name = "qemu-${packages.storeName (packages.version "qemu")}";
    script = ./qemu.sh;
    root = packages.root "qemu";
  };
}
