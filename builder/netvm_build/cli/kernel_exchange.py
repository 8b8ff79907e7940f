# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""kernel import, export, diff: kernel options from elsewhere, for elsewhere, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netvm_build.cli import proposals
from netvm_build.cli.app import spec_path
from netvm_build.cli.escape import escape
from netvm_build.cli.kernel_reading import JSON, SPEC, read_kernel
from netvm_build.cli.screen import Screen
from netvm_build.util.errors import NetvmError, SpecError

if TYPE_CHECKING:
    from netvm_build.kconfig.compared import Options
    from netvm_build.kconfig.imported import Imported, LeftOut

FORMATS = ("config", "nix", "yaml")
_NAMED = 3  # options of those that are left out for one reason


@click.command("import", epilog="Example: netvm-build kernel import lab.config --name lab")
@click.argument("files", nargs=-1, required=True, metavar="FILE…", shell_complete=proposals.files)
@click.option("--name", default="", metavar="NAME", help="The fragment's name.  [default: that of the first FILE]")
@click.option("--print", "only_print", is_flag=True, help="Print the fragment instead of writing it.")
@SPEC
@JSON
@click.pass_obj
def import_files(screen: Screen, files: tuple[str, ...], name: str, only_print: bool, spec: str, as_json: bool) -> None:
    """Make a fragment of a .config, a defconfig, or Nix.

    Reads what the kernel's own tools write, also compressed (/proc/config.gz), fragments for merge_config.sh, and
    structuredExtraConfig as nixpkgs has it.  Of several files the later win.  Options that a fragment can't have are
    left out, each with the reason.  Writes kernel-configs/NAME.yaml beside the spec.
    """
    from netvm_build.kconfig import imported, written

    path = spec_path(spec)
    found = imported.joined([_read(file, path) for file in files])
    if not found.options:
        reasons = "; ".join(written.by_reason(found.left_out)) or "there is no line such as CONFIG_TUN=y"
        raise NetvmError(
            f"{', '.join(map(escape, files))}: no option to import: {reasons}", hint="is it the right file?"
        )
    description = f"Imported from {', '.join(Path(file).name for file in files)}"
    text = written.fragment(description, found.options, found.left_out)
    if only_print:
        screen.result(text.rstrip("\n"))
        return
    target = fragment_path(path, name, files[0])
    write_fragment(target, text)
    if as_json:
        screen.result_json(_imported_object(target, found))
        return
    screen.result(str(target))
    _say_left_out(screen, found.left_out)
    screen.say(f"next: add `{target.stem}` to kernel.fragments, then netvm-build check")


def _read(file: str, spec: Path) -> Imported:
    from netvm_build.kconfig import imported

    text = imported.read_text(Path(file), escape(file))
    if file.endswith((".yaml", ".yml")):
        hint = f"cp {file} {spec.parent / 'kernel-configs'}"
        raise NetvmError(f"{escape(file)} is YAML, as fragments are already", hint=hint)
    if file.endswith(".nix"):
        from netvm_build.kconfig import structured

        return structured.read_structured(text, escape(file), _version(spec))
    return imported.read_dotconfig(text, escape(file))


def _version(path: Path) -> str:
    """The version of Linux that a spec asks for, as far as it can be read."""
    from netvm_build import spec
    from netvm_build.model import Kernel

    try:
        return spec.draft(path).router.kernel.version
    except SpecError:
        return Kernel().version


def fragment_path(spec: Path, name: str, file: str) -> Path:
    """Where a fragment is written that is called `name`, or after a file.  Raises NetvmError."""
    return spec.parent / "kernel-configs" / f"{_fragment_name(name, file)}.yaml"


def _fragment_name(name: str, file: str) -> str:
    """The name that is asked for, or one that the file's gives.  Raises NetvmError."""
    from netvm_build.kconfig.imported import name_for
    from netvm_build.spec.scalars import ReadError, fragment_name
    from netvm_build.spec.yaml_nodes import Scalar
    from netvm_build.util import resources

    if name:
        try:
            return fragment_name(Scalar(name, 0, quoted=True))
        except ReadError as error:
            raise NetvmError(f"--name: {error.message}", hint=error.hint) from error
    made = name_for(file)
    ours = resources.folder("kernel-configs") / f"{made}.yaml"
    return f"my-{made}" if ours.exists() else made


def write_fragment(target: Path, text: str) -> None:
    """Write a new fragment, whole or not at all.  Raises NetvmError if there is one of that name, or OSError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise NetvmError(f"{target} is there already", hint="name another: --name NAME, or remove it") from error
    except OSError:
        with suppress(OSError):
            target.unlink()
        raise


def _say_left_out(screen: Screen, left_out: Sequence[LeftOut]) -> None:
    from netvm_build.kconfig import written
    from netvm_build.util import layout

    for reason, those in written.by_reason(left_out).items():
        text = f"{escape(written.named(those, _NAMED))}: {escape(reason)}"
        screen.say("\n".join(layout.wrap(text, screen.width, first="left out: ", rest="  ")))


def _imported_object(target: Path, found: Imported) -> dict[str, object]:
    return {
        "version": 1,
        "file": str(target),
        "options": [{"name": one.name, "value": str(one.value)} for one in found.options],
        "left_out": [
            {"name": one.name, "file": one.source.file, "line": one.source.line, "reason": one.reason}
            for one in found.left_out
        ],
    }


@click.command(epilog="Example: netvm-build kernel export --format nix > kernel.nix")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="config",
    show_default=True,
    help="A fragment for merge_config.sh, structuredExtraConfig for nixpkgs, or a fragment as ours are.",
)
@click.option("--fragment", default="", metavar="NAME", help="Only this fragment.", shell_complete=proposals.fragments)
@SPEC
@click.pass_obj
def export(screen: Screen, form: str, fragment: str, spec: str) -> None:
    """Print the kernel options of a spec for other tools.

    These are all that the spec asks of its kernel, its fragments' included.
    """
    from netvm_build.kconfig import resolve, written

    asked, fragments, problems, _ = read_kernel(spec)
    if problems:
        raise SpecError(problems)
    if fragment and fragment not in fragments:
        raise NetvmError(f"there is no fragment {fragment!r}", hint="netvm-build kernel list")
    options = fragments[fragment].options_for(asked.version) if fragment else resolve(asked, fragments).options
    what = f"{fragment or spec_path(spec)}, for Linux {asked.version}"
    if form == "yaml":
        screen.result(written.fragment(f"Exported from {what}", options).rstrip("\n"))
        return
    text = written.dotconfig(options) if form == "config" else written.structured(options)
    screen.result(f"# Kernel options of {escape(what)}\n{text}".rstrip("\n"))


@click.command(epilog="Example: netvm-build kernel diff netvm.yaml build/netvm")
@click.argument("a", shell_complete=proposals.files)
@click.argument("b", shell_complete=proposals.files)
@JSON
@click.pass_obj
def diff(screen: Screen, a: str, b: str, as_json: bool) -> None:
    """Compare the kernel options of two specs, images or .configs.

    A and B are specs, image folders, or files of a kernel's configuration.  Of a spec and an image, only those options
    are compared that the spec asks for.
    """
    from netvm_build.kconfig import compared

    rows = compared.compare(_options(a), _options(b))
    if as_json:
        options = [{"name": name, "a": first, "b": second} for name, first, second in rows]
        screen.result_json({"version": 1, "a": a, "b": b, "options": options})
    elif rows:
        shown = [(name, *(_shown(value) for value in values)) for name, *values in rows]
        screen.table([("option", escape(a), escape(b)), *shown], headed=True)
    else:
        screen.say("no option differs")


def _shown(value: str | None) -> str:
    return "-" if value is None else escape(value) or '""'


def _options(what: str) -> Options:
    """What a spec asks for, or what a kernel has."""
    from netvm_build.kconfig import compared, imported, resolve

    path = Path(what)
    if (path / "manifest.json").is_file():
        path = path / "kernel.config"
    elif path.is_dir() or what.endswith((".yaml", ".yml")):
        asked, fragments, problems, _ = read_kernel(what)
        if problems:
            raise SpecError(problems)
        return compared.asked(resolve(asked, fragments))
    found = compared.built(imported.read_text(path, escape(str(path))))
    if not found.values:
        hint = "name a spec, an image folder or a .config"
        raise NetvmError(f"{escape(what)} has no kernel options", hint=hint)
    return found
