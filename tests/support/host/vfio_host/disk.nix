# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# The root of the VFIO test's host, from the same lock as a router's image: Debian's Python, the locked QEMU, our
# builder, what it imports, and a router image.
{ tree, program, data, imported, image, scenario }:
let
  lock = builtins.fromJSON (builtins.readFile (tree + "/netvm.lock"));
  platform = import (tree + "/platforms/debian") { inherit lock; };
  packages = import (tree + "/platforms/debian/packages.nix") { inherit lock; system = "x86_64-linux"; };
  source = name: path: builtins.path {
    inherit name path;
    filter = file: _: baseNameOf file != "__pycache__";
  };
in
packages.runIn {
  name = "vfio-host-disk";
  root = packages.root "imager";
  script = ./disk.sh;
  python = packages.root "imager";
  qemu = platform.qemu;
  qemuRoot = packages.root "qemu";
  package = source "netvm_build" program;
  data = source "data" data;
  imported = source "imported" imported;
  scenario = source "scenario" scenario;
  image = builtins.path { name = "router-image"; path = image; };
}
