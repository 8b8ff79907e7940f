# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# The debian platform: every part of the image from Debian's packages, pinned by the lock, built in Nix's sandbox.
# `linuxArchive` is where the archive is that the lock has in the place of Debian's kernel source: { file } or { url }.
{ lock, system ? "x86_64-linux", wireless ? false, linuxArchive ? null }:
let
  packages = import ./packages.nix { inherit lock system; };
  lockFile = ../../netvm.lock;
  kernelRequests = import ../../kernel/requests.nix;
  source = part: file: packages.fetch lock.sources.${part}.files.${file};

  # The package that has the kernel's source: Debian's, or one like it of another archive or where there are patches.
  linuxTarball = version: "linux-source-${version}.tar.xz";
  archivedSource = version: "${packages.runIn {
    name = "linux-source-${packages.version "linux"}";
    root = packages.root "toolchain";
    script = ./archived_source.sh;
    archive = packages.archive linuxArchive lock.kernel_source.sha256;
    linux = packages.version "linux";
    linuxTarball = linuxTarball version;
  }}/linux-source.deb";
  linuxSource = { version, patches }:
    let plain = if linuxArchive == null then builtins.head (packages.debs "linux") else archivedSource version; in
    if patches == null then plain else "${packages.runIn {
      name = "linux-source-${packages.version "linux"}-patched";
      root = packages.root "toolchain";
      script = ./patched_source.sh;
      applier = ../../kernel/apply_patches.py;
      linuxSource = plain;
      linuxTarball = linuxTarball version;
      inherit patches;
    }}/linux-source.deb";
in
rec {
  lib.kernel = import ./kernel-lib.nix;

  # → { kernel, kernel.config, release }, lib/modules if `modules`, and there what is built in if `firmware`; with
  # `headers`, what further modules are compiled against, too
  buildKernel =
    { version, structuredExtraConfig, check, count, modules, firmware, patches ? null, headers ? false }:
    packages.runIn ({
    name = "linux-${packages.version "linux"}";
    root = packages.root "toolchain";
    script =
      if headers then ./kernel_headers.sh
      else if modules then ./kernel_modules.sh
      else if firmware then ./kernel_firmware.sh
      else ./kernel.sh;
    linuxSource = linuxSource { inherit version patches; };
    linuxTarball = linuxTarball version;
    seed = builtins.toFile "seed" (kernelRequests.seed structuredExtraConfig);
    requests = builtins.toFile "requests.json" (builtins.toJSON (kernelRequests.requests structuredExtraConfig));
    inherit check count;
  } // (if modules || firmware then { builtin = ./kernel.sh; } else { })
    // (if headers then { modular = ./kernel_modules.sh; } else { }));

  # Options asked for as modules → the names of these, as the kernel's Makefiles have them: { OPTION: [NAME] } in JSON
  moduleNames = { version, options, namer, patches ? null }: packages.runIn {
    name = "module-names";
    root = packages.root "toolchain";
    script = ./module_names.sh;
    index = packages.runIn {
      name = "linux-${packages.version "linux"}-modules";
      root = packages.root "toolchain";
      script = ./module_index.sh;
      linuxSource = linuxSource { inherit version patches; };
      linuxTarball = linuxTarball version;
      inherit namer;
    };
    options = builtins.toFile "options.json" (builtins.toJSON options);
    inherit namer;
  };

  # A kernel with headers → the same with the drivers of some folders of source
  addDrivers = { kernel, sources }: packages.runIn {
    name = "linux-${packages.version "linux"}-drivers";
    root = packages.root "toolchain";
    script = ./kernel_drivers.sh;
    inherit kernel sources;
  };

  # The options that a kernel's source has → { index, tree, answers.json, python }, see ../../kernel/read_kconfig.py
  readKconfig = { version, reader, newer, check, patches ? null }: packages.runIn {
    name = "kconfig-${packages.version "linux"}";
    root = packages.root "toolchain";
    script = ./kconfig.sh;
    linuxSource = linuxSource { inherit version patches; };
    linuxTarball = linuxTarball version;
    inherit reader newer check;
  };

  # A kernel that Debian built → the same as buildKernel's, and options.json
  stockKernel = { structuredExtraConfig, check, known }: packages.runIn {
    name = "linux-stock-${packages.version "linux"}";
    root = packages.root "imager";
    script = ./stock_kernel.sh;
    taker = ./stock_kernel.py;
    inherit check;
    unpacked = packages.root "stock";
    inherit known;
    requests = builtins.toFile "requests.json" (builtins.toJSON (kernelRequests.requests structuredExtraConfig));
  };

  # → { tree, initrd }: the modules and firmware for the root, and what a kernel without built-in drivers starts from
  # `own` is a folder with firmware of the user's, `names` what moduleNames makes
  collectDrivers = { kernel, wanted, own ? null, names ? "" }: packages.runIn {
    name = "drivers";
    root = packages.root "imager";
    script = ../shared/drivers.sh;
    maker = ../shared/make_drivers.py;
    taker = ../shared/take_firmware.py;
    inherit kernel names;
    wanted = builtins.toFile "drivers.json" (builtins.toJSON wanted);
    firmware = (if own == null then [ ] else [ own ])
      ++ (if wanted.firmware == [ ] then [ ] else [ (packages.root "firmware") ]);
  };

  connman = packages.runIn {
    name = "connman-${packages.version "connman"}";
    root = packages.root "connman-dev";
    script = ./connman.sh;
    missing = ./connman-missing.c;
    iwd = if wireless then ./connman-iwd.patch else "";
    ours = [
      ../shared/connman-no-link-local.patch
      ../shared/connman-host-name.patch
      ../shared/connman-renamed.patch
      ../shared/connman-dhcp.patch
      ../shared/connman-carrier.patch
      ../shared/connman-clock.patch
    ];
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

  # The guest's root as a file system image: what `tree` holds with the ruleset, and the programs it runs with the
  # libraries they need.
  # With verity, the hash tree follows it, and a file `verity` tells the kernel of both.
  # `extras` is what the spec adds, with `packaged` also programs of the lock's set `extra`.
  buildRootfs =
    { tree, ruleset, programs, modules, verity, drivers, extras ? null, packaged ? false }:
    packages.runIn ({
    name = "rootfs";
    root = packages.root "imager";
    script = ../shared/rootfs.sh;
    maker = ../shared/make_rootfs.py;
    verityMaker = ../shared/make_verity.py;
    parts = [ (packages.root "guest") connman ];
    inherit tree ruleset programs modules verity drivers;
    # Debian's alternatives would choose between its signature and upstream's, whose key every kernel has.
    regdb = if wireless then "${packages.root "guest"}/usr/lib/firmware/regulatory.db" else "";
  } // (if extras == null then { } else {
    inherit extras;
    adder = ../shared/add_extras.py;
    added = if packaged then [ (packages.root "extra") (packages.root "extra-libraries") ] else [ ];
  }));

  # What connman.sh links in: static library → the package that has it
  linked = {
    "dbus-1" = "libdbus-1-dev";
    "glib-2.0" = "libgio-2.0-dev";
    "mnl" = "libmnl-dev";
    "nftnl" = "libnftnl-dev";
    "pcre2-8" = "libpcre2-dev";
    "sysprof-capture-4" = "libsysprof-capture-4-dev";
  };

  # → contents.json: each file of the finished root with the package that it is from, and these packages
  # `extras` is what the spec adds.
  listContents = { rootfs, tree, extras ? "" }:
    let
      isLinked = name: builtins.elem (builtins.head (builtins.split "_" name)) (builtins.attrValues linked);
      sets = [ "guest" "linux" "stock" "firmware" "extra" "extra-libraries" ];
      names = builtins.concatMap (set: lock.sets.${set} or [ ]) sets
        ++ builtins.filter isLinked lock.sets.connman-dev;
    in
    packages.runIn {
      name = "contents.json";
      root = packages.root "imager";
      script = ./contents.sh;
      lister = ./list_contents.py;
      lock = lockFile;
      inherit rootfs tree extras;
      linked = builtins.toJSON linked;
      sources = map (source "connman") [ "orig" "debian" ];
      debs = map (name: packages.fetch lock.packages.${name}) names;
    };

  # → { manifest.json, kernel, kernel.config, rootfs.img, netvm.lock, contents.json }, and initrd if the kernel is
  # stock; it names `qemu`, so whatever keeps the image from the garbage collector keeps that too.
  assemble = { manifest, kernel, rootfs, drivers, contents, qemu }: packages.runIn {
    name = "image";
    root = packages.root "imager";
    script = ../shared/image.sh;
    maker = ../shared/make_image.py;
    inherit kernel rootfs drivers contents qemu;
    lock = lockFile;
    manifest = builtins.toFile "manifest.json" (builtins.toJSON (manifest // { inherit (lock) versions; } // dates));
  };

  # When the lock was made, and of which indexes; locks of before don't say.
  dates = if (lock.made or "") == "" then { } else {
    locked = lock.made;
    indexes = map (index: { inherit (index) suite date valid_until age_days sha256; }) lock.indexes;
  };

  # A QEMU for the host, so that every machine tests with the same one.
  qemu = packages.derive {
    name = "qemu-${packages.storeName (packages.version "qemu")}";
    script = ./qemu.sh;
    root = packages.root "qemu";
  };
}
