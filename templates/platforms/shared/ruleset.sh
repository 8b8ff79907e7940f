# Compile the firewall; see compile_ruleset.py.
python3 -I -B "$compiler" "$ruleset" "$out" "$netfilterSocket" "$(command -v nft)"
