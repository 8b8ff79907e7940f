# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# ConnMan, built small, and never a version with a known hole.
#
# 1.41 and before have CVE-2022-32292, CVE-2022-32293 and CVE-2023-28488; up to 1.44, CVE-2025-32366 and CVE-2025-32743.
# A nixpkgs may carry the fixes as patches, but not every one that has such a version does; and our own changes are made
# for 2.0.  So an older one is replaced by the version that the debian platform builds and our tests boot.  Its hash is
# that of the release on kernel.org, which is also the upstream part of Debian's source package.
{ pkgs }:
let
  inherit (pkgs) lib;
  ours = "2.0";

  small = pkgs.connmanMinimal.override {
    firewallType = "nftables";
    enableWifi = false;
    enableL2tp = false;
  };

  # Each says why; they are made for 2.0.
  changes = [
    ../shared/connman-no-link-local.patch
    ../shared/connman-host-name.patch
    ../shared/connman-renamed.patch
    ../shared/connman-dhcp.patch
    ../shared/connman-carrier.patch
    ../shared/connman-clock.patch
  ];
in
if lib.versionAtLeast small.version ours then small.overrideAttrs (old: {
  patches = (old.patches or [ ]) ++ changes;
})
else small.overrideAttrs {
  version = ours;
  src = pkgs.fetchurl {
    url = "mirror://kernel/linux/network/connman/connman-${ours}.tar.xz";
    hash = "sha256-0lwt3Ata0T6YbsNa12WujS9LestHyVigVhbJQ80IJSc=";
  };
  # Those of the older version are in this one.
  patches = changes;
}
