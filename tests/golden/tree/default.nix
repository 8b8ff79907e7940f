# What can be built: nix build -f . image | kernel | kconfig | rootfs | qemu
let
  platform = import ./platforms/debian { lock = builtins.fromJSON (builtins.readFile ./netvm.lock); };
in
import ./image.nix { inherit platform; router = import ./router.nix; }
