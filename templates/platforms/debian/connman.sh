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

# Paths are the guest's; the file-prefix-map keeps the build folder out of the binary.
CFLAGS="-O2 -fstack-protector-strong -D_FORTIFY_SOURCE=3 -fPIE -ffile-prefix-map=/build=." \
LDFLAGS="-pie -Wl,-z,relro,-z,now -Wl,--build-id=none" \
./configure --quiet --prefix=/usr --sysconfdir=/etc --localstatedir=/var \
  --disable-wispr --disable-client --disable-tools --disable-stats --disable-gadget --disable-bluetooth --disable-ofono \
  --disable-dundee --disable-pacrunner --disable-neard --disable-wireguard --disable-loopback --disable-vpnc \
  --disable-openconnect --disable-openvpn --disable-l2tp --disable-pptp --disable-wifi --with-firewall=nftables \
  --disable-dependency-tracking
make -s -j"$NIX_BUILD_CORES"
mkdir -p "$out/usr/sbin" "$out/etc/dbus-1/system.d"
cp src/connmand "$out/usr/sbin/connmand"
strip "$out/usr/sbin/connmand"
cp src/connman-dbus.conf "$out/etc/dbus-1/system.d/connman.conf"
