# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# structuredExtraConfig, whichever platform's lib.kernel made it, as the two files that a kernel is configured by.
rec {
  # What an option is to be in a .config: y, m, n or the text.
  value = asked: asked.freeform or (if asked.tristate == null then "n" else asked.tristate);

  # The file that KCONFIG_ALLCONFIG reads.  Numbers stay bare; any other text is a quoted string.
  seed = config:
    let
      quote = text: "\"" + builtins.replaceStrings [ "\\" "\"" ] [ "\\\\" "\\\"" ] text + "\"";
      number = text: builtins.match "-?[0-9]+|0[xX][0-9a-fA-F]+" text != null;
      line = name:
        let asked = config.${name}; text = value asked; in
        if asked ? freeform then "CONFIG_${name}=${if number text then text else quote text}\n"
        else if text == "n" then "# CONFIG_${name} is not set\n"
        else "CONFIG_${name}=${text}\n";
    in
    builtins.concatStringsSep "" (map line (builtins.attrNames config));

  # The same as the list that check_config.py reads.
  requests = config: map
    (name: { inherit name; value = value config.${name}; inherit (config.${name}) optional; })
    (builtins.attrNames config);
}
