# Collect the modules and firmware of an image; see make_drivers.py.
mkdir -p "$out"
python3 -I -B "$maker" "$kernel" "$wanted" "$out" "$busybox" $firmware
