# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Collect the modules and firmware of an image; see make_drivers.py and take_firmware.py.
mkdir -p "$out"
python3 -I -B "$maker" "$kernel" "$wanted" "$out" "$busybox" ${names:+"$names"}
# shellcheck disable=SC2086 # $firmware is a list
python3 -I -B "$taker" "$out/firmware.json" "$out/tree/usr/lib/firmware" $firmware
