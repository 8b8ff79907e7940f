{
  outputs = { self }: {
    legacyPackages.x86_64-linux =
      import ./pkgs/top-level/impure.nix { system = "x86_64-linux"; config = { }; overlays = [ ]; };
  };
}
