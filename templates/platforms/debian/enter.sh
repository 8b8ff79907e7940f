# Run $inside in $root: same /build and /nix/store, everything else from the root alone.
# A user namespace lets an ordinary build user mount and chroot; the mounts go with it.
case ${1-} in
  "") exec "$busybox" unshare -U -r -m "$busybox" sh -eu "$0" mounted ;;
esac
for dir in build dev nix/store proc; do
  "$busybox" mount --rbind "/$dir" "$root/$dir"
done
"$busybox" mount -t tmpfs tmpfs "$root/tmp"
export PATH=/usr/sbin:/usr/bin LC_ALL=C TZ=UTC HOME=/tmp SOURCE_DATE_EPOCH=1
exec "$busybox" chroot "$root" /bin/sh -eu "$inside"
