# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What an archive of a test's own holds: the packages that a lock asks for, and a tree that downloads them."""

from __future__ import annotations

import io
import tarfile

from netvm_build.build.debian import bootstrap, packages
from netvm_build.model import Router

ASKED = sorted({name for asked in packages.request_for(Router()).sets.values() for name in asked})
CONNMAN = {"connman_2.0-2.dsc": b"dsc", "connman_2.0.orig.tar.xz": b"orig", "connman_2.0-2.debian.tar.xz": b"debian"}
OLD = "1.0-1"
"""The version of all of them."""

TREE = """\
let
  lock = builtins.fromJSON (builtins.readFile ./netvm.lock);
  storeName = builtins.replaceStrings [ "~" "%" ":" "^" ] [ "-" "-" "-" "-" ];
  fetch = file: derivation {
    name = storeName (baseNameOf file.path);
    url = lock.mirrors.${file.mirror} + "/" + file.path;
    inherit (file) deps;
    outputHash = file.sha256;
    outputHashAlgo = "sha256";
    outputHashMode = "flat";
    builder = "builtin:fetchurl";
    system = "builtin";
    preferLocalBuild = true;
  };
  files = builtins.attrValues (builtins.mapAttrs (name: file: file // { deps = [ ]; }) lock.packages);
  named = name: builtins.head (builtins.filter (file: builtins.match ".*/${name}_.*" file.path != null) files);
in
{ image = fetch (named "image" // { deps = map fetch [ (named "a") (named "b") ]; }); }
"""


def a_deb(name: str = bootstrap.MEMBER, content: bytes = b"\x7fELF busybox") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    members = [(b"debian-binary", b"2.0\n"), (b"control.tar.xz", b"odd"), (b"data.tar.xz", data.getvalue())]
    parts = [
        name.ljust(48) + str(len(body)).encode().ljust(10) + b"`\n" + body + b"\n" * (len(body) % 2)
        for name, body in members
    ]
    return b"!<arch>\n" + b"".join(parts)
