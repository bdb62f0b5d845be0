"""SDPO Workbench: reinforcement learning with rich feedback, live. Nothing happens on import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"  # the only place: the build and the command line read it here

if TYPE_CHECKING:
    from workbench.workbench import Workbench

__all__ = ["Workbench", "__version__"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import workbench.credit` does not load transformers.
    if name == "Workbench":
        from workbench.workbench import Workbench

        return Workbench
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
