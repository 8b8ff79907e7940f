# What a router image is, whoever makes its parts.
{ platform, router }:
let
  kernel = platform.buildKernel {
    inherit (router) version;
    structuredExtraConfig = import ./kernel/options.nix { inherit (platform) lib; };
    check = ./kernel/check_config.py;
  };

  # The firewall as the transaction that nft would send to the kernel, so that the guest needs no nft.
  ruleset = platform.compileRuleset {
    ruleset = ./rootfs/etc/netvm/ruleset.nft;
    compiler = ./firewall/compile_ruleset.py;
    netfilterSocket = ./firewall/netfilter_socket.c;
  };

  rootfs = platform.buildRootfs {
    tree = ./rootfs;
    inherit ruleset;
    # What PID 1 starts; the libraries follow by themselves.
    programs = [ "usr/bin/python3" "usr/bin/dbus-daemon" "usr/sbin/connmand" ] ++ router.programs or [ ];
    # What a client VM of the smoke boot imports beside what init does.
    modules = [ "base64" "ctypes" "fcntl" "gzip" "hashlib" "json" "select" "selectors" "socket" "struct" "traceback" ];
  };

  image = platform.assemble {
    inherit kernel rootfs;
    manifest = {
      version = 1;
      inherit (router) name cmdline options machine spec;
    };
  };
in
{
  inherit image kernel rootfs ruleset;
  inherit (platform) qemu;
}
