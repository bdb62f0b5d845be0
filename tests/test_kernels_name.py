"""Two packages named `kernels`: ours, a folder of this repository, and the one that transformers looks for.

Each case is a fresh interpreter that starts in the repository root, as people do: `-c` puts the root first on the
search path, ahead of anything installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = sorted(path.stem for path in (ROOT / "kernels").glob("*.py"))

# What is asked of each case. transformers' model classes import `integrations.hub_kernels`, where the clash shows.
LOAD_BOTH = """
import importlib, pathlib, sys
sys.path[0] = {root!r}
{first}
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import is_kernels_available
model = LlamaForCausalLM(LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                     num_attention_heads=1, num_key_value_heads=1))
import workbench
ours = importlib.import_module('workbench.kernels.{ours}')
assert pathlib.Path(ours.__file__).parent == pathlib.Path({root!r}, 'kernels'), ours.__file__
"""

# The names that transformers 5 imports from the real package (integrations/hub_kernels.py, utils/kernel_config.py).
LIBRARY = '''
"""Stands for the installed library of the same name."""
DISTINCTIVE = "the installed library"

class Device:
    def __init__(self, *args, **kwargs): pass

class CUDAProperties(Device): pass
class ROCMProperties(Device): pass
class LayerRepository(Device): pass
class LocalLayerRepository(Device): pass
class FuncRepository(Device): pass
class KernelizeFallback: pass
class Mode: INFERENCE = TRAINING = 1

def get_kernel(*args, **kwargs): raise ImportError("no kernel")
def kernelize(model, **kwargs): return model
def register_kernel_mapping(*args, **kwargs): pass
def replace_kernel_forward_from_hub(*args, **kwargs): pass
def use_kernel_mapping(*args, **kwargs): pass
def use_kernel_forward_from_hub(name): return lambda cls: cls
def use_kernelized_func(*names): return lambda cls: cls
'''


def run(code: str, *search: Path) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in the repository root; no hub, no network, one thread."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, search)), "HF_HUB_OFFLINE": "1"}
    environment["OMP_NUM_THREADS"] = "1"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


def code(*, first: str = "", checks: str = "") -> str:
    return LOAD_BOTH.format(root=str(ROOT), first=first, ours=OURS[0]) + checks


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder with an installed distribution named `kernels`, of a version that transformers accepts."""
    from transformers.utils.import_utils import KERNELS_MIN_VERSION

    package, metadata = tmp_path / "kernels", tmp_path / f"kernels-{KERNELS_MIN_VERSION}.dist-info"
    package.mkdir()
    metadata.mkdir()
    (package / "__init__.py").write_text(LIBRARY)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: kernels\nVersion: {KERNELS_MIN_VERSION}\n")
    return tmp_path


pytestmark = pytest.mark.skipif(not OURS, reason="kernels/ has no modules yet")


def test_ours_has_no_init_file() -> None:
    """With one it would be a regular package and hide the installed one."""
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_without_the_library() -> None:
    if (found := run("import importlib.metadata as m; m.version('kernels')")).returncode == 0:
        pytest.skip(f"a distribution named kernels is installed here {found.stdout}")
    done = run(code(checks="assert not is_kernels_available()"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("first", ["", "import workbench"], ids=["transformers first", "workbench first"])
def test_with_the_library(library: Path, first: str) -> None:
    checks = (
        "assert is_kernels_available()\n"
        "import kernels\n"
        "assert kernels.DISTINCTIVE == 'the installed library', kernels\n"
        "assert not hasattr(workbench.kernels, 'DISTINCTIVE')\n"
        "from transformers.integrations import hub_kernels\n"
        "assert hub_kernels.CUDAProperties is kernels.CUDAProperties\n"
    )
    done = run(code(first=first, checks=checks), library)
    assert done.returncode == 0, done.stderr


def test_the_clash_is_real(library: Path, tmp_path: Path) -> None:
    """The case that the layout avoids: with an `__init__.py`, a folder named `kernels` in front hides the library."""
    front = tmp_path / "front"
    (front / "kernels").mkdir(parents=True)
    (front / "kernels" / "__init__.py").write_text("")
    done = run("from transformers import LlamaForCausalLM", front, library)
    assert done.returncode != 0
    assert "cannot import name" in done.stderr and "'kernels'" in done.stderr
