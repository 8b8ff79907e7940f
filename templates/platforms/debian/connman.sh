# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# ConnMan from Debian's source package, built small: no DNS proxy runs (-r), and what could be attacked and is not used
# (WISPr, VPNs, Bluetooth, mobile, gadget …) is not even compiled.
cd /build
mkdir connman
tar -xf "$orig" -C connman --strip-components=1 --no-same-owner
tar -xf "$debian" -C connman --no-same-owner
cd connman
while read -r patch _; do
  case $patch in "" | "#"*) continue ;; esac
  patch -p1 -s < "debian/patches/$patch"
done < debian/patches/series
[ -z "$iwd" ] || patch -p1 -s < "$iwd"
for patch in $ours; do patch -p1 -s < "$patch"; done

# glib, libdbus, libnftnl and libmnl are linked in: of them, what connmand calls is 1.3 MiB, and no loader has to find,
# map and relocate a dozen libraries at each start.  The C library alone stays shared.
libraries=/usr/lib/x86_64-linux-gnu
# Paths are the guest's; the file-prefix-map keeps the build folder out of the binary.
export CFLAGS="-O2 -ffunction-sections -fdata-sections -fstack-protector-strong -D_FORTIFY_SOURCE=3 -fPIE -ffile-prefix-map=/build=."
GIO_CFLAGS=$(pkg-config --cflags gio-2.0)
export GIO_CFLAGS GLIB_CFLAGS="$GIO_CFLAGS" GIO_LIBS=" " DBUS_LIBS=" " NFTABLES_LIBS=" "
DBUS_CFLAGS=$(pkg-config --cflags dbus-1) NFTABLES_CFLAGS=$(pkg-config --cflags libnftnl libmnl)
export DBUS_CFLAGS NFTABLES_CFLAGS
# shellcheck disable=SC2086 # flags are words
gcc $CFLAGS $GIO_CFLAGS -c "$missing" -o missing.o
linked=$PWD/missing.o
for library in glib-2.0 pcre2-8 sysprof-capture-4 dbus-1 nftnl mnl; do linked="$linked $libraries/lib$library.a"; done
GLIB_LIBS="-Wl,--start-group $linked -Wl,--end-group -lresolv -lm" \
LDFLAGS="-pie -Wl,--gc-sections -Wl,--as-needed -Wl,-z,relro,-z,now -Wl,--build-id=none" \
./configure --quiet --prefix=/usr --sysconfdir=/etc --localstatedir=/var \
  --disable-wispr --disable-client --disable-tools --disable-stats --disable-gadget --disable-bluetooth --disable-ofono \
  --disable-dundee --disable-pacrunner --disable-neard --disable-wireguard --disable-loopback --disable-vpnc \
  --disable-openconnect --disable-openvpn --disable-l2tp --disable-pptp --disable-wifi ${iwd:+--enable-iwd} --with-firewall=nftables \
  --disable-dependency-tracking
# Without what only waits or tests.
make -s -j"$NIX_BUILD_CORES" noinst_PROGRAMS= sbin_PROGRAMS=src/connmand
mkdir -p "$out/usr/sbin" "$out/etc/dbus-1/system.d"
cp src/connmand "$out/usr/sbin/connmand"
strip "$out/usr/sbin/connmand"
cp src/connman-dbus.conf "$out/etc/dbus-1/system.d/connman.conf"
