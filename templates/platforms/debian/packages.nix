# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Debian packages, fetched as the lock pins them, and roots unpacked from them.
#
# The builder of everything is the lock's static busybox, which holds sh, dpkg-deb, unshare, chroot and mount. It is the
# one file that cannot be unpacked inside the sandbox: `netvm-build` takes it out of its package and puts it into
# bootstrap/; the hash below is the lock's, so nothing else can take its place.
{ lock, system }:
let
  fetchurl = import <nix/fetchurl.nix>;

  # Nix allows only some characters in the name of a store path.
  storeName = builtins.replaceStrings [ "~" "%" ":" "^" ] [ "-" "-" "-" "-" ];

  # A folder, because busybox must be started by the name "busybox": it takes the applet from it.
  bootstrap = builtins.path {
    name = "bootstrap";
    path = ../../bootstrap;
    sha256 = lock.bootstrap.nar_sha256;
  };
  busybox = "${bootstrap}/busybox";

  fetch = file: fetchurl {
    name = storeName (baseNameOf file.path);
    url = lock.mirrors.${file.mirror} + "/" + file.path;
    inherit (file) sha256;
  };

  # A file of this machine or of a URL, by its hash.  Both have one name, so neither where it is nor what it is called
  # makes a difference.
  archive = { file ? null, url ? "" }: sha256:
    let name = "linux-source"; in
    if file == null then fetchurl { inherit name url sha256; }
    else builtins.path { inherit name sha256; path = file; recursive = false; };

  # The packages of one of the lock's sets, as a list of .deb files.
  debs = set: map (name: fetch lock.packages.${name}) lock.sets.${set};

  derive = { name, script, ... }@arguments: derivation ({
    inherit system;
    builder = busybox;
    args = [ "sh" "-eu" script ];
    inherit busybox;
    PATH = "";
  } // builtins.removeAttrs arguments [ "script" ]);

  # A root directory with the packages of a set unpacked into it; no maintainer script runs.
  root = set: derive {
    name = "debian-${set}";
    script = ./unpack.sh;
    debs = debs set;
  };

  # Run `script` (by the root's own /bin/sh) inside a root, with nothing of the host in sight.
  runIn = { name, root, script, ... }@arguments: derive ({
    script = ./enter.sh;
    inherit root;
    inside = script;
  } // builtins.removeAttrs arguments [ "script" "root" ]);
in
{
  inherit fetch archive debs derive root runIn storeName;
  version = name: lock.versions.${name};
}
