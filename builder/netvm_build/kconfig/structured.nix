# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# The options of a structuredExtraConfig, which others wrote, as a list that structured.py reads.  Whatever it says is
# evaluated here without nixpkgs; `lib` has what such blocks use (nixpkgs: lib/kernel.nix, lib/modules.nix).
{ file, version }:
let
  inherit (builtins) attrNames concatMap elem functionArgs intersectAttrs isAttrs isFunction isList isString length
    listToAttrs mapAttrs stringLength toString tryEval typeOf;

  # An option with a value.  What is in a value of lib.kernel is kept, and more is added beside it.
  isOption = value: isAttrs value && (value ? tristate || value ? freeform || value ? skipped);
  mark = marks: value:
    if isOption value then value // marks
    else if isAttrs value && value ? merged then { merged = map (mark marks) value.merged; }
    else if isAttrs value then mapAttrs (_: mark marks) value
    else value;

  when = {
    whenAtLeast = at_least: mark { inherit at_least; };
    whenOlder = older_than: mark { inherit older_than; };
    whenBetween = at_least: older_than: mark { inherit at_least older_than; };
  };
  kernel = {
    yes = { tristate = "y"; optional = false; };
    module = { tristate = "m"; optional = false; };
    no = { tristate = "n"; optional = false; };
    unset = { tristate = null; optional = false; };
    freeform = text: { freeform = text; optional = false; };
    option = mark { optional = true; };
    whenHelpers = _: when;
  };
  modules = rec {
    mkOverride = priority: mark { inherit priority; };
    mkForce = mkOverride 50;
    mkImageMediaOverride = mkOverride 60;
    mkVMOverride = mkOverride 10;
    mkDefault = mkOverride 1000;
    mkOptionDefault = mkOverride 1500;
    mkIf = condition: value: if condition then value else if isOption value then { skipped = true; } else { };
    mkMerge = merged: { inherit merged; };
    mkBefore = value: value;
    mkAfter = value: value;
  };
  # nixpkgs has each function in lib and in one of its parts.
  lib = functions // {
    inherit kernel modules;
    attrsets = functions;
    lists = functions;
    strings = functions;
    trivial = functions;
  };
  functions = builtins // modules // when // rec {
    versionOlder = one: other: builtins.compareVersions one other < 0;
    versionAtLeast = one: other: !versionOlder one other;
    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: values: if condition then values else [ ];
    optionalAttrs = condition: values: if condition then values else { };
    optionalString = condition: text: if condition then text else "";
    genAttrs = names: value: listToAttrs (map (name: { inherit name; value = value name; }) names);
    mapAttrs' = change: values: listToAttrs (map (name: change name values.${name}) (attrNames values));
    nameValuePair = name: value: { inherit name value; };
    mapAttrsToList = change: values: map (name: change name values.${name}) (attrNames values);
    filterAttrs = keep: values:
      removeAttrs values (builtins.filter (name: !keep name values.${name}) (attrNames values));
    singleton = value: [ value ];
    flip = change: one: other: change other one;
    const = value: _: value;
    id = value: value;
    types = { };
  };

  # A kernel that is asked for its options only.
  linux = {
    inherit version;
    override = change: if isFunction change then change { } else change;
  };
  kernels = listToAttrs (map (name: { inherit name; value = linux; }) [
    "linux" "linux_latest" "linux_hardened" "linux_testing" "linux_zen"
    "linux_5_10" "linux_5_15" "linux_6_1" "linux_6_6" "linux_6_12" "linux_6_18"
  ]);
  stdenv = rec {
    isx86_64 = true;
    isLinux = true;
    isi686 = false;
    isAarch64 = false;
    isAarch32 = false;
    hostPlatform = { inherit isx86_64 isLinux isi686 isAarch64 isAarch32; isx86 = true; is64bit = true; };
  };
  pkgs = kernels // {
    inherit lib stdenv;
    linuxPackagesFor = kernel: { inherit kernel; };
    linuxKernel = { inherit kernels; packagesFor = kernel: { inherit kernel; }; };
  };
  arguments = pkgs // { inherit pkgs version; features = { }; config = { }; options = { }; };
  call = value:
    if isFunction value
    then value (if functionArgs value == { } then arguments else intersectAttrs (functionArgs value) arguments)
    else value;

  # The blocks in a value: itself, or what a NixOS module or an override of a kernel says.
  named = [ "structuredExtraConfig" "extraStructuredConfig" "extraConfig" ];
  around = [ "config" "boot" "kernelPatches" "kernelPackages" "kernel" ];
  present = names: value: builtins.filter (name: value ? ${name} && !isOption value.${name}) names;
  blocks = depth: given:
    let value = call given; in
    if depth == 0 then [ ]
    else if isList value then concatMap (blocks (depth - 1)) value
    else if !isAttrs value || isOption value then [ ]
    else if value ? merged then concatMap (blocks (depth - 1)) value.merged
    else if present named value != [ ] then map (name: call value.${name}) (present named value)
    else if present around value != [ ]
    then concatMap (name: blocks (depth - 1) value.${name}) (present around value)
    else [ value ];

  text = value:
    if value == null then null
    else if elem (typeOf value) [ "string" "int" ] && stringLength (toString value) < 4096 then toString value
    else throw "no text";
  record = name: value:
    if !isOption value then { inherit name; type = typeOf value; }
    else if value ? skipped then { inherit name; type = "skipped"; }
    else {
      inherit name;
      tristate = text (value.tristate or null);
      freeform = text (value.freeform or null);
      optional = value.optional or false;
      priority = value.priority or 100;
      at_least = text (value.at_least or null);
      older_than = text (value.older_than or null);
    };
  records = name: value:
    if isAttrs value && value ? merged then concatMap (records name) value.merged else [ (record name value) ];
  ofOption = name: value:
    let all = records name value; tried = tryEval (builtins.deepSeq all all); in
    if tried.success then tried.value else [ { inherit name; type = "an error"; } ];
  ofBlock = block:
    if isString block then [ { name = ""; type = "text"; freeform = text block; } ]
    else if isAttrs block && block ? merged then concatMap ofBlock block.merged
    else if isAttrs block then concatMap (name: ofOption name block.${name}) (attrNames block)
    else [ ];
  scope = kernel // when // modules // { inherit lib pkgs version; };
  found = concatMap ofBlock (blocks 8 (builtins.scopedImport scope file));
in
if length found > 20000 then throw "more than 20000 options" else found
