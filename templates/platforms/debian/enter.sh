# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Run $inside in $root: same /build and /nix/store, everything else from the root alone.
# A user namespace lets an ordinary build user mount and chroot; the mounts go with it.
case ${1-} in
  "") exec "$busybox" unshare -U -r -m "$busybox" sh -eu "$0" mounted ;;
esac
for dir in build dev nix/store proc; do
  "$busybox" mount --rbind "/$dir" "$root/$dir"
done
"$busybox" mount -t tmpfs tmpfs "$root/tmp"
# 0 stands for all cores, and is what Nix hands on where its `cores` is 0.
[ "${NIX_BUILD_CORES:-0}" -gt 0 ] || NIX_BUILD_CORES=$("$busybox" nproc)
export NIX_BUILD_CORES
export PATH=/usr/sbin:/usr/bin LC_ALL=C TZ=UTC HOME=/tmp SOURCE_DATE_EPOCH=1
exec "$busybox" chroot "$root" /bin/sh -eu "$inside"
