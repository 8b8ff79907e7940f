# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Kernel fragments → one set of options, and what was asked compared with what came out.

- fragment.py: what a fragment is
- reader.py: one YAML file → Fragment, every problem at once
- fragments.py: the folders of fragments
- choices.py: options of which only one can be on
- resolve.py: the spec's choice of fragments → KernelConfig
- index.py: the options of a kernel's source; bounds.py: what they can be under what is asked
- known.py: what is asked against the index; faults.py: why an option can't be as asked; impossible.py: what it lacks
- plan.py, search.py, costs.py: what to ask for so that an option can be as asked
- menus.py: what was changed in menuconfig
- explain.py: who asks for what, and why
- dotconfig.py: a kernel's .config, read and compared by the code of the build's check
- imported.py, structured.py: requests from a .config or Nix; written.py: requests for other tools
- compared.py: two specs or kernels
- modular.py: which options become modules, and which modules the image holds
- patch_failures.py: what the build says of a patch that doesn't apply
- mismatches.py: what the build's check (templates/kernel/check_config.py) says, read back from its log
"""

from __future__ import annotations

from netvm_build.kconfig.dotconfig import differences, read_config
from netvm_build.kconfig.explain import Asked, Explanation, explain
from netvm_build.kconfig.fragment import Condition, Fragment, Reference
from netvm_build.kconfig.fragments import draft_fragments, load_fragments
from netvm_build.kconfig.mismatches import MISMATCH_PREFIX, mismatch_error, mismatches_in, with_sources
from netvm_build.kconfig.modular import Drivers, stock_parameters
from netvm_build.kconfig.patch_failures import patch_failures_in
from netvm_build.kconfig.resolve import Attempt, KernelConfig, attempt, resolve

__all__ = [
    "MISMATCH_PREFIX",
    "Asked",
    "Attempt",
    "Condition",
    "Drivers",
    "Explanation",
    "Fragment",
    "KernelConfig",
    "Reference",
    "attempt",
    "differences",
    "draft_fragments",
    "explain",
    "load_fragments",
    "mismatch_error",
    "mismatches_in",
    "patch_failures_in",
    "read_config",
    "resolve",
    "stock_parameters",
    "with_sources",
]
