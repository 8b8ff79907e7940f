# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# The other side of the air: runs each line that the test sends through the virtio port `air`, and answers with one line,
# its exit status and what it printed.  Functions for what tests do are below; the rest is plain shell.
export PATH=/bin
mount -t sysfs sysfs /sys  # that of this network namespace
while [ ! -e /sys/class/ieee80211/phy1 ]; do sleep 0.05; done
for name in /sys/class/ieee80211/phy1/device/net/*; do
  name=${name##*/}
  [ "$name" = wlan1 ] || { ip link set "$name" down; ip link set "$name" name wlan1; }  # the router was first to name it
done
ip link set lo up
ip address add 192.0.2.7/32 dev lo  # far behind the access point: only a default route leads here
ip address add 10.77.0.1/24 dev wlan1

# ap LINE…: the access point, with these lines of hostapd.conf(5) beside what all have.  Each has an address of its own, as
# another one would: the router leaves alone for a while what has just refused it or gone away.
ap() {
  down
  number=$(($(cat /tmp/aps) + 1))
  echo $number > /tmp/aps
  ip link set wlan1 down
  ip link set wlan1 address 02:00:00:00:01:$number
  {
    echo "interface=wlan1"; echo "driver=nl80211"; echo "hw_mode=g"; echo "channel=${channel:-1}"
    for line; do echo "$line"; done
  } > /tmp/hostapd.conf
  hostapd -d -B -P /tmp/hostapd.pid -f /tmp/hostapd.log /tmp/hostapd.conf > /dev/null || { grep -iE "fail|error|invalid|could not" /tmp/hostapd.log; tail -n 20 /tmp/hostapd.log; return 1; }
  while ! ip address show dev wlan1 | grep -q 10.77.0.1; do ip address add 10.77.0.1/24 dev wlan1; done
  udhcpd -S /tmp/udhcpd.conf
}

# asked: how many times somebody has asked who is there
asked() { grep -c WLAN_FC_STYPE_PROBE_REQ /tmp/hostapd.log || true; }

# down: no access point
down() {
  for service in hostapd udhcpd; do
    [ ! -s /tmp/$service.pid ] || kill "$(cat /tmp/$service.pid)" 2> /dev/null
  done
  while pidof hostapd > /dev/null; do sleep 0.05; done
  rm -f /tmp/hostapd.pid /tmp/udhcpd.pid /tmp/hostapd.log
}

echo 10 > /tmp/aps
cat > /tmp/udhcpd.conf <<'END'
start 10.77.0.20
end 10.77.0.40
interface wlan1
pidfile /tmp/udhcpd.pid
lease_file /tmp/udhcpd.leases
option subnet 255.255.255.0
option router 10.77.0.1
option dns 10.77.0.1
END
: > /tmp/udhcpd.leases
nc -ll -p 7 -e cat &

port=
while [ -z "$port" ]; do
  for name in /sys/class/virtio-ports/*/name; do
    if [ "$(cat "$name" 2> /dev/null)" = air ]; then port=${name%/name}; port=/dev/${port##*/}; fi
  done
  sleep 0.05
done
exec 3<> "$port"
echo "0 here" >&3
while read -r line <&3; do
  said=$(eval "$line" 2>&1 < /dev/null)
  echo "$? $(echo "$said" | tr '\n' '\t')" >&3
done
