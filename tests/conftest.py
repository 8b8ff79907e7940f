# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What tests of all rooms share: golden files, and how many examples hypothesis tries."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from tests.support.skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]

# HYPOTHESIS_PROFILE=thorough for a long search.  CI tries the same examples each time.
hypothesis.settings.register_profile("quick", max_examples=50, deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.register_profile("thorough", max_examples=1000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
set_hypothesis_home_dir(Path(__file__).parents[1] / ".cache" / "hypothesis")

GOLDEN = Path(__file__).parent / "golden"
INTEGRATION = Path(__file__).parent / "integration"


# Compiled once, for us and for the hundreds of programs that tests start, whatever the machine's settings say.
COMPILED = Path(__file__).parents[1] / ".cache" / "compiled"
sys.dont_write_bytecode, sys.pycache_prefix = False, str(COMPILED)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ["PYTHONPYCACHEPREFIX"] = str(COMPILED)

# pytest-xdist sets this in its workers; golden texts of commands are of no width, or of one that a test sets.
os.environ.pop("COLUMNS", None)


def pytest_configure() -> None:
    """A shell has its background jobs ignore Ctrl-C, nohup has its program ignore SIGHUP, and what they start inherits
    that: not what we test.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests in an order for several workers (pytest -n): what waits longest first, so that no worker ends late, and
    what boots VMs last.  Those share an image and the machine: make.sh runs them one by one.
    """

    def seconds(item: pytest.Item) -> float:
        mark = item.get_closest_marker("lasts")
        return float(mark.args[0]) if mark else 0.0

    items.sort(key=lambda item: (INTEGRATION in item.path.parents, -seconds(item)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what is made now over the golden files")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path | str, str], None]:
    """Hold a text against a golden file: `path` is absolute, or below tests/golden.  --update-golden writes it."""

    def hold(path: Path | str, text: str) -> None:
        file = GOLDEN / path
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.is_file(), f"{file} is missing: run pytest --update-golden and look at what it writes"
        assert text == file.read_text(encoding="utf-8"), f"{file.name} differs; --update-golden accepts the change"

    return hold


@pytest.fixture
def short_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder whose path is short enough for sockets, and which must be empty in the end."""
    folder = Path(f"/tmp/nvt{os.getpid()}")
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    assert sorted(folder.rglob("*")) == []
    folder.rmdir()
