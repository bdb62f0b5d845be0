"""Tensors in, tensors out: the modules of the repository's folder `kernels/`, imported as `workbench.kernels`.

The build copies those modules beside this file. In a checkout they are found where they are, through one more entry of
this package's search path. That folder has no `__init__.py`, since transformers and bitsandbytes look for an unrelated
package named `kernels`, which a folder of that name in front of it would hide.
"""

from __future__ import annotations

from pathlib import Path

if [path.name for path in Path(__file__).parent.glob("*.py")] == ["__init__.py"]:
    __path__.append(str(Path(__file__).resolve().parents[2] / "kernels"))
