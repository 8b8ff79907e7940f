# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""examples/monitoring/prometheus.py on a status as `netvm-build status --json` prints it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "monitoring" / "prometheus.py"
STATUS = json.loads((ROOT / "tests" / "golden" / "status.json").read_text(encoding="utf-8"))
SAMPLE = re.compile(
    r'(netvm_[a-z_]+)\{([a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*)\} (\S+)'
)


def printed(status: object) -> list[str]:
    text = json.dumps(status)
    return subprocess.run(
        [sys.executable, EXAMPLE], input=text, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_every_line_is_a_type_or_a_sample_of_the_type_before() -> None:
    """As Prometheus's text format wants it: no metric in two places, and no sample twice."""
    kinds: dict[str, str] = {}
    seen = set()
    for line in printed(STATUS):
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in kinds
            kinds[name] = kind
            continue
        found = SAMPLE.fullmatch(line)
        assert found is not None, line
        assert list(kinds)[-1] == found[1]
        assert (found[1], found[2]) not in seen
        seen.add((found[1], found[2]))
        assert found[1].endswith("_total") == (kinds[found[1]] == "counter")
        float(found[3])
    assert len(seen) > 20


def test_the_values_are_those_of_the_status() -> None:
    lines = printed(STATUS)
    assert 'netvm_ready{router="netvm"} 1' in lines
    assert 'netvm_client_bytes_total{router="netvm",client="web",direction="in"} 1288490189' in lines
    assert 'netvm_refused_packets_total{router="netvm",reason="spoofed"} 3' in lines


def test_a_router_that_counts_nothing_and_is_not_ready() -> None:
    bare = STATUS | {"state": "degraded", "uplinks": [], "drops": [], "kernel_drops": []}
    bare["clients"] = [{"name": 'a "b"', "client": "100.64.0.1"}]
    lines = printed(bare)
    assert 'netvm_ready{router="netvm"} 0' in lines
    assert not any("client_bytes" in line for line in lines)


def test_the_guide_s_check_finds_a_router_that_is_ready_and_no_other() -> None:
    guide = (ROOT / "docs" / "how-to" / "logs-and-monitoring.md").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"^netvm-build status netvm --json \| grep -q '(.*)'$", guide, re.MULTILINE)
    for state, found in (("ready", True), ("degraded", False), ("booting", False)):
        printed_ = json.dumps(STATUS | {"state": state}, indent=2)
        done = subprocess.run(["grep", "-q", pattern], input=printed_, text=True, check=False)
        assert (done.returncode == 0) is found


def test_the_guide_keeps_the_last_metrics_where_the_router_does_not_answer(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "how-to" / "logs-and-monitoring.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^folder=.*\n(netvm-build status.*\n.*\n)```", guide, re.MULTILINE)
    (tmp_path / "netvm.prom").write_text("the last\n")
    command = (
        f"netvm-build() {{ return 7; }}\nfolder={tmp_path}\n{script.replace('examples/', str(ROOT) + '/examples/')}"
    )
    assert subprocess.run(["bash", "-c", command], capture_output=True, check=False).returncode != 0
    assert (tmp_path / "netvm.prom").read_text() == "the last\n"
