# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the proofs on the wire need; where it is missing they are skipped and say so, but in CI they fail."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

TOOLS = ("nft", "ip", "unshare")


pytest.importorskip("scapy", reason="scapy is not installed")  # a module that imports this one is skipped as a whole


def require(*tools: str) -> None:
    """Skip the test where namespaces cannot be made or a tool is missing."""
    problems = [f"{tool} is not installed" for tool in (*TOOLS, *tools) if shutil.which(tool) is None]
    if os.geteuid() != 0:
        problems.append("namespaces need root")
    elif not problems:
        made = subprocess.run(["unshare", "-n", "nft", "list", "ruleset"], capture_output=True, text=True, check=False)
        if made.returncode:
            problems.append(f"no namespace with nf_tables can be made: {made.stderr.strip()}")
    if problems:
        pytest.skip(problems[0])
