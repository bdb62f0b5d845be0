"""SDPO Workbench: reinforcement learning with rich feedback, live. Nothing happens on import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

# The repository's `kernels/` folder is reached as `workbench.kernels`: transformers and bitsandbytes look for another
# package named `kernels`, so ours has no `__init__.py` (a namespace package never shadows a real one) and is found
# through this extra entry of the package's search path.
__path__.append(str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from workbench.workbench import Workbench

__all__ = ["Workbench"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import workbench.credit` does not load transformers.
    if name == "Workbench":
        from workbench.workbench import Workbench

        return Workbench
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
