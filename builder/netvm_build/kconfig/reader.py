# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Kernel fragments: a YAML file for each concern.

    description: One line that `netvm-build kernel list` shows
    requires: [other-fragment]
    conflicts: [another]
    ignore_unknown: true
    options:
      E1000E: yes
      NR_CPUS: 16
      64BIT: {value: yes, optional: true}
    modules:
      E1000E: e1000e
    when:
      - at_least: "6.17"
        options: {IP_NF_IPTABLES_LEGACY: yes}

A fragment is known by its file's name without `.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from netvm_build.kconfig.fragment import Condition, Fragment, Reference
from netvm_build.model import EVERY_VERSION, RequestedOption, Source
from netvm_build.spec import yaml_nodes
from netvm_build.spec.option_values import option_name, option_value
from netvm_build.spec.scalars import (
    ReadError,
    boolean,
    describe,
    did_you_mean,
    fragment_name,
    is_null,
    linux_version,
    versions,
)
from netvm_build.spec.yaml_nodes import Entry, Invalid, Node, Scalar, Sequence, joined
from netvm_build.util.errors import Problem

_KEYS = ("description", "requires", "conflicts", "ignore_unknown", "options", "modules", "when")
_NICS = "nics"  # of our own fragments: a family of network cards, see model/nics.py
_WHEN_KEYS = ("at_least", "older_than", "options")
MODULE_NAME = re.compile(r"[A-Za-z0-9_]{1,55}")  # MODULE_NAME_LEN of 64-bit Linux


@dataclass
class FragmentParser:
    """Reads one file, noting its problems on the way; `file` is its name in messages, `ours` that we bring it."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    ours: bool = False

    def problem(self, line: int, path: str, message: str, hint: str | None) -> None:
        self.problems.append(Problem(self.file, line, path, message, hint))

    def fragment(self, name: str, root: yaml_nodes.Mapping) -> Fragment:
        self._only(root, "", (*_KEYS, _NICS) if self.ours else _KEYS)
        fragment = Fragment(
            name=name,
            description=self._description(root),
            source=Source(self.file),
            requires=self._references(root.get("requires")),
            conflicts=self._references(root.get("conflicts")),
            options=self._options(root.get("options"), ""),
            when=self._when(root.get("when")),
            modules=self._modules(root.get("modules")),
        )
        return fragment.optional() if self._boolean(root.get("ignore_unknown")) else fragment

    def _boolean(self, entry: Entry | None) -> bool:
        if entry is None or isinstance(entry.value, Invalid):
            return False
        try:
            return boolean(entry.value)
        except ReadError as error:
            self.problem(entry.line, entry.key, error.message, error.hint)
            return False

    def _only(self, mapping: yaml_nodes.Mapping, path: str, keys: Collection[str]) -> None:
        for entry in mapping.entries:
            if entry.key not in keys:
                hint = did_you_mean(entry.key, keys) or f"the keys here are {', '.join(keys)}"
                self.problem(entry.line, joined(path, entry.key), "there is no such key", hint)

    def _description(self, root: yaml_nodes.Mapping) -> str:
        entry = root.get("description")
        hint = "add one line that says what the fragment is for"
        if entry is None:
            self.problem(root.line, "description", "must be given", hint)
            return ""
        node = entry.value
        if not isinstance(node, Scalar) or not node.text.strip():
            if not isinstance(node, Invalid):
                self.problem(entry.line, "description", f"{describe(node)} is not a description", hint)
            return ""
        if not node.text.isprintable():
            self.problem(entry.line, "description", "is more than one line", "write it on one line")
        return node.text

    def _references(self, entry: Entry | None) -> tuple[Reference, ...]:
        if entry is None or isinstance(entry.value, Invalid) or is_null(entry.value):
            return ()
        if not isinstance(entry.value, Sequence):
            message = f"{describe(entry.value)} is not a list of fragments"
            self.problem(entry.line, entry.key, message, "write [nat, packet]")
            return ()
        found: dict[str, Reference] = {}
        for number, node in enumerate(entry.value.items):
            path = f"{entry.key}[{number}]"
            if isinstance(node, Invalid):
                continue
            if not isinstance(node, Scalar):
                message = f"{describe(node)} is not the name of a fragment"
                self.problem(node.line, path, message, "write the name of its file without .yaml")
                continue
            try:
                name = fragment_name(node)
            except ReadError as error:
                self.problem(node.line, path, error.message, error.hint)
                continue
            if name in found:
                self.problem(node.line, path, f"{name} is named twice", "keep one of the two")
            found.setdefault(name, Reference(name, Source(self.file, node.line)))
        return tuple(found.values())

    def _options(self, entry: Entry | None, where: str) -> tuple[RequestedOption, ...]:
        path = joined(where, "options")
        if entry is None or isinstance(entry.value, Invalid) or is_null(entry.value):
            return ()
        if not isinstance(entry.value, yaml_nodes.Mapping):
            message = f"{describe(entry.value)} is not a mapping"
            self.problem(entry.line, path, message, "write `NAME: yes` on the lines below, indented")
            return ()
        options: list[RequestedOption] = []
        for option in entry.value.entries:
            at = joined(path, option.key)
            try:
                name = option_name(option.key)
                if not isinstance(option.value, Invalid):
                    options.append(RequestedOption(name, option_value(option.value), Source(self.file, option.line)))
            except ReadError as error:
                line = error.line or option.line
                self.problem(line, joined(at, error.path) if error.path else at, error.message, error.hint)
        return tuple(options)

    def _modules(self, entry: Entry | None) -> dict[str, tuple[str, ...]]:
        """The options that may be modules, with the modules' names."""
        if entry is None or isinstance(entry.value, Invalid) or is_null(entry.value):
            return {}
        if not isinstance(entry.value, yaml_nodes.Mapping):
            message = f"{describe(entry.value)} is not a mapping"
            self.problem(entry.line, "modules", message, "write `E1000E: e1000e` on the lines below, indented")
            return {}
        modules: dict[str, tuple[str, ...]] = {}
        for one in entry.value.entries:
            nodes = one.value.items if isinstance(one.value, Sequence) else (one.value,)
            names = [node.text for node in nodes if isinstance(node, Scalar) and MODULE_NAME.fullmatch(node.text)]
            if len(names) == len(nodes):  # a menu may be called a module, and has none
                modules[one.key] = tuple(names)
            elif not isinstance(one.value, Invalid):
                message = f"{describe(one.value)} is not the name of a module"
                hint = "write it as /proc/modules has it: e1000e, or [nft_nat, nft_chain_nat] where there are several"
                self.problem(one.line, f"modules.{one.key}", message, hint)
        return modules

    def _when(self, entry: Entry | None) -> tuple[Condition, ...]:
        if entry is None or isinstance(entry.value, Invalid) or is_null(entry.value):
            return ()
        if not isinstance(entry.value, Sequence):
            hint = 'write `- at_least: "6.17"` and `options:` on the lines below, indented'
            self.problem(entry.line, "when", f"{describe(entry.value)} is not a list", hint)
            return ()
        numbered = enumerate(entry.value.items)
        conditions = (self._condition(node, f"when[{number}]") for number, node in numbered)
        return tuple(condition for condition in conditions if condition is not None)

    def _condition(self, node: Node, path: str) -> Condition | None:
        if not isinstance(node, yaml_nodes.Mapping):
            if not isinstance(node, Invalid):
                hint = "write at_least or older_than, and options"
                self.problem(node.line, path, f"{describe(node)} is not a condition", hint)
            return None
        self._only(node, path, _WHEN_KEYS)
        limits = [self._limit(node.get(key), path) for key in ("at_least", "older_than")]
        if node.get("at_least") is None and node.get("older_than") is None:
            hint = "add at_least or older_than, or move the options to `options:`"
            self.problem(node.line, path, "has no condition", hint)
        try:
            between = versions(*limits)
        except ReadError as error:
            between = EVERY_VERSION
            self.problem(node.line, path, error.message, error.hint)
        options = self._options(node.get("options"), path)
        if node.get("options") is None:
            self.problem(node.line, path, "has no options", "add `options:`")
        return Condition(between, options)

    def _limit(self, entry: Entry | None, where: str) -> str | None:
        if entry is None or isinstance(entry.value, Invalid):
            return None
        try:
            return linux_version(entry.value)
        except ReadError as error:
            self.problem(entry.line, joined(where, entry.key), error.message, error.hint)
            return None
