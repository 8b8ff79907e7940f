# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
{
  description = "Build, prove and run a router VM that owns the physical NIC";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";

  outputs = { self, nixpkgs }:
    let
      # What the images are made for, and made on.
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};
      inherit (pkgs) lib python3Packages;

      version = builtins.head
        (builtins.match ".*__version__ = \"([^\"]+)\".*" (builtins.readFile ./builder/netvm_build/__init__.py));

      # What the wheel is made of, so that a change of a test builds nothing.
      source = builtins.path {
        path = ./.;
        name = "netvm-build-source";
        filter = path: _:
          let below = lib.removePrefix "${toString ./.}/" path; in
          builtins.elem (builtins.head (lib.splitString "/" below))
            [
              "pyproject.toml" "README.md" "LICENSE" "LICENSES"
              "builder" "docs" "kernel-configs" "rootfs" "templates"
            ];
      };

      # As in pyproject.toml.
      dependencies = packages: with packages; [ click jinja2 msgspec pyyaml qemu-qmp rich ];

      netvm-build = python3Packages.buildPythonApplication {
        pname = "netvm-build";
        inherit version;
        pyproject = true;
        src = source;
        build-system = [ python3Packages.hatchling ];
        dependencies = dependencies python3Packages;
        pythonImportsCheck = [ "netvm_build.cli" ];
        # A spec that is rendered needs all that the wheel carries.
        postInstallCheck = ''
          $out/bin/netvm-build init spec
          $out/bin/netvm-build render spec/netvm.yaml -o tree
          test -e tree/image.nix -a -e tree/kernel/options.nix -a -e tree/rootfs/sbin/init
        '';
        meta = {
          description = "Build, prove and run a router VM that owns the physical NIC";
          mainProgram = "netvm-build";
          platforms = [ system ];
        };
      };
    in
    {
      packages.${system} = { inherit netvm-build; default = netvm-build; };

      apps.${system}.default = { type = "app"; program = "${netvm-build}/bin/netvm-build"; };

      devShells.${system}.default = pkgs.mkShell {
        packages = [
          (pkgs.python3.withPackages (packages: dependencies packages ++ (with packages; [
            hatchling jsonschema kconfiglib mypy pytest scapy types-pyyaml
          ])))
          pkgs.qemu_kvm
          pkgs.ruff
        ];
      };

      # The tests that need nothing of a machine: no Nix, no QEMU, no root, no apt.
      checks.${system} = {
        package = netvm-build;
        tests = pkgs.runCommand "netvm-build-tests"
          {
            nativeBuildInputs = [
              (pkgs.python3.withPackages (packages: dependencies packages ++ (with packages; [
                hypothesis jsonschema pytest scapy
              ])))
            ];
          } ''
          cp -r ${self}/. tree && chmod -R u+w tree && cd tree
          python3 -m pytest -q -p no:cacheprovider ${toString [
            "tests/unit/test_address.py"
            "tests/unit/test_guest_lines.py"
            "tests/unit/test_manifest.py"
            "tests/unit/test_yaml_nodes.py"
            "tests/unit/test_nix_literal.py"
            "tests/unit/test_render.py"
            "tests/unit/test_report.py"
            "tests/unit/test_spec.py"
          ]}
          touch $out
        '';
      };

      # The image of a spec as a derivation, for other flakes: mkRouter { src = ./.; } reads netvm.yaml and, beside it,
      # kernel-configs/.  The parts come from this flake's nixpkgs, whatever the spec says.
      lib.mkRouter = { src, spec ? "netvm.yaml" }:
        let
          tree = pkgs.runCommand "netvm-tree" { nativeBuildInputs = [ netvm-build ]; } ''
            netvm-build render ${src}/${spec} -o $out
          '';
        in
        (import "${tree}/image.nix" {
          platform = import "${tree}/platforms/nixpkgs" { inherit system; nixpkgs = nixpkgs.outPath; };
          router = import "${tree}/router.nix";
        }).image;

      templates.default = {
        path = ./examples/flake;
        description = "A router VM of your own, built from nixpkgs";
      };
    };
}
