"""The common ending of all benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.cli.output import Output


def summary(output: Output, name: str, measured: Mapping[str, Any]) -> None:
    """Print the last line, for programs only: the benchmark's figures and the hardware that they hold for."""
    from workbench.policy.selfcheck import hardware

    output.summary({"bench": name, **measured, "hardware": hardware()})
