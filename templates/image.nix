# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# What a router image is, on any platform.
{ platform, router }:
let
  stock = router.drivers != null && router.drivers.stock;

  structuredExtraConfig = import ./kernel/options.nix { inherit (platform) lib; };

  check = ./kernel/check_config.py;
  count = ./kernel/count_objects.py;

  patches = if router ? patches then { inherit (router) patches; } else { };

  kernel =
    if stock then platform.stockKernel { inherit structuredExtraConfig check; known = router.drivers.options; }
    else platform.buildKernel ({
      inherit (router) version;
      inherit structuredExtraConfig check count;
      modules = router ? extraModules
        || (router.drivers != null && router.drivers.names ++ router.drivers.options != [ ]);
      firmware = router.drivers != null && router.drivers.firmware != [ ];
    } // patches // (if router ? extraModules then { headers = true; } else { }));

  # The options that the kernel's source has, for `netvm-build check`.
  kconfig = platform.readKconfig ({
    inherit (router) version;
    inherit check;
    reader = ./kernel/read_kconfig.py;
    newer = ./kernel/newer_kconfig.py;
  } // patches);

  # The firewall as the transaction that nft would send to the kernel, so that the guest needs no nft.
  ruleset = platform.compileRuleset {
    ruleset = ./rootfs/etc/netvm/ruleset.nft;
    compiler = ./firewall/compile_ruleset.py;
    netfilterSocket = ./firewall/netfilter_socket.c;
  };

  # The modules of options that no fragment names them of; known long before the kernel is compiled.
  moduleNames =
    if router.drivers == null || router.drivers.options == [ ] || stock || !(platform ? moduleNames) then null
    else platform.moduleNames ({
      inherit (router) version;
      inherit (router.drivers) options;
      namer = ./kernel/module_names.py;
    } // patches);

  # What the kernel does not have built in: modules, their firmware, the table of them, and an initrd if stock.
  drivers = if router.drivers == null then "" else platform.collectDrivers ({
    kernel =
      if router ? extraModules then platform.addDrivers { inherit kernel; sources = router.extraModules; }
      else kernel;
    wanted = router.drivers;
  } // (if router ? firmware then { own = router.firmware; } else { })
    // (if moduleNames == null then { } else { names = moduleNames; }));

  rootfs = platform.buildRootfs ({
    tree = ./rootfs;
    inherit ruleset drivers;
    inherit (router) verity;
    # What PID 1 starts; the libraries follow by themselves.
    programs = [ "usr/bin/python3" "usr/bin/dbus-daemon" "usr/sbin/connmand" ] ++ router.programs or [ ];
    # What a client VM of the smoke boot imports beside what init does.
    modules = [ "base64" "ctypes" "fcntl" "gzip" "hashlib" "json" "select" "selectors" "socket" "struct" "traceback" ];
  } // (if router ? extras then { inherit (router) extras packaged; } else { }));

  # Where each file of the root is from; nixpkgs' packages are listed by tools of their own.
  contents = if platform ? listContents then platform.listContents ({
    inherit rootfs;
    tree = ./rootfs;
  } // (if router ? extras then { inherit (router) extras; } else { })) else "";

  image = platform.assemble {
    inherit kernel rootfs drivers contents;
    inherit (platform) qemu;
    manifest = {
      version = 1;
      inherit (router) name cmdline options machine spec;
    };
  };
in
{
  inherit image kernel kconfig rootfs ruleset drivers moduleNames contents;
  inherit (platform) qemu;
  connman = platform.connman or null;
}
