# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Values of kernel options: what is read, how it is written, and what is said of values written as elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.model import OptionKind, OptionValue, Versions
from netvm_build.spec import yaml_nodes
from netvm_build.spec.fields.names import dump_option
from netvm_build.spec.option_values import OPTION_TEXT, option_value, written
from netvm_build.spec.scalars import ReadError

VERSIONS = st.one_of(
    st.just(Versions()),
    st.just(Versions("6.12")),
    st.just(Versions(None, "6.17.3")),
    st.just(Versions("6.12", "6.17")),
)
WORDS = st.sampled_from([kind for kind in OptionKind if kind is not OptionKind.FREEFORM])
TEXTS = st.from_regex(OPTION_TEXT, fullmatch=True)
VALUES = st.one_of(
    st.builds(OptionValue, WORDS, optional=st.booleans(), versions=VERSIONS),
    st.builds(OptionValue, st.just(OptionKind.FREEFORM), TEXTS, st.booleans(), VERSIONS),
)


def read(text: str) -> OptionValue:
    """The value of X in a YAML mapping."""
    root = yaml_nodes.compose(f"X: {text}\n", "spec").root
    assert isinstance(root, yaml_nodes.Mapping)
    return option_value(root.entries[0].value)


def refused(text: str) -> tuple[str, str]:
    with pytest.raises(ReadError) as caught:
        read(text)
    return caught.value.message, caught.value.hint


@given(VALUES)
def test_a_value_reads_back_as_it_was_written(value: OptionValue) -> None:
    try:
        found = read(written(value))
    except ReadError:  # a text that looks like a level of a .config
        assert value.text.strip().startswith(("=", "CONFIG_", "(", "lib.", "option", "mk", "when", "freeform", "pkgs"))
        return
    words = ("yes", "y", "true", "on", "module", "m", "no", "n", "false", "off", "unset")
    assert found == value or value.text.lower() in words


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("lib.kernel.yes", "yes"),
        ("with lib.kernel; yes", None),
        ("kernel.module", "module"),
        ("pkgs.lib.kernel.unset", "unset"),
        ("yes;", "yes"),
        ("=y", "yes"),
        ('"=y"', "yes"),
        ("=m", "module"),
        ("CONFIG_E1000E=n", "no"),
        ("=64", "64"),
        ("""'="lab"'""", '"lab"'),
        ("enabled", "yes"),
        ("Disabled", "no"),
        ("is not set", "no"),
        ("built-in", "yes"),
        ('freeform "64"', "64"),
        ('lib.kernel.freeform "-lab"', '"-lab"'),
        ("freeform 64", "64"),
        ('freeform ""', '""'),
        ("""'"lab"'""", '"lab"'),
        ("option yes", "{value: yes, optional: true}"),
        ("lib.mkForce no", "no"),
        ("mkDefault (option module)", "{value: module, optional: true}"),
        ('whenAtLeast "6.1" yes', '{value: yes, at_least: "6.1"}'),
        ('whenOlder "6.17" (freeform "8")', '{value: 8, older_than: "6.17"}'),
        ('whenBetween "6.1" "6.17" (option no)', '{value: no, optional: true, at_least: "6.1", older_than: "6.17"}'),
    ],
)
def test_a_value_as_written_elsewhere_is_told_how_it_is_written_here(text: str, meant: str | None) -> None:
    message, hint = refused(text) if meant else ("", "")
    if meant is None:
        assert read(text).text == text  # a text like any other
        return
    assert message.endswith("is not how a value is written here")
    assert hint == f"write {meant}"
    read(meant)


@pytest.mark.parametrize(
    "text", ['"enabled"', '"=console"', "option", "mkForce", "whenAtLeast", "console=ttyS0", "-lab"]
)
def test_texts_that_only_look_like_it_are_texts(text: str) -> None:
    assert read(text) == OptionValue(OptionKind.FREEFORM, text.strip('"'))


def test_a_text_may_be_empty_and_a_value_may_not_be_missing() -> None:
    assert read('""') == OptionValue(OptionKind.FREEFORM, "")
    assert refused("") == (
        "has no value",
        'write yes, module, no, unset, a number or a text, or {value: …, optional: true}; an empty text is ""',
    )


def test_conditions() -> None:
    value = read('{value: yes, optional: true, at_least: "6.12", older_than: 6.17}')
    assert value == OptionValue(OptionKind.YES, "", optional=True, versions=Versions("6.12", "6.17"))
    assert dump_option(value) == {"value": "yes", "optional": True, "at_least": "6.12", "older_than": "6.17"}
    assert refused("{value: yes, at_least: six}")[0] == "'six' is not a version of Linux"
    assert refused('{value: yes, at_least: "6.17", older_than: "6.12"}') == (
        "no version is at least 6.17 and older than 6.12",
        "swap the two, or remove one",
    )
    assert refused("{value: yes, at_lest: 6.1}")[1] == "did you mean at_least?"
