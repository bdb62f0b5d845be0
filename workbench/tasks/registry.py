"""The environments and packs of this process: built in, registered by Python code, and brought by other packages.

Entry points are `sdpo_workbench.environments` and `sdpo_workbench.packs`; each names a subclass of `Environment` or a
`Pack`, as a class that takes no arguments or as an instance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from workbench.errors import PluginError, TaskError
from workbench.plugins import Registry, check_method, check_name, instance_of
from workbench.tasks.environment import Environment
from workbench.tasks.environments import BUILT_IN
from workbench.tasks.own_packs import OWN_PACKS

if TYPE_CHECKING:
    from workbench.tasks.pack import Pack

T = TypeVar("T")


def register_environment(environment: T, *, replace: bool = False) -> T:
    """Make an environment known to this process, and return it: also a decorator of a subclass of `Environment`.

    `replace` replaces one that was registered before, e.g. by an earlier run of a notebook's cell. Raises
    PluginError for anything but an environment, and for a name that is taken.
    """
    _ENVIRONMENTS.add(environment, replace=replace)
    return environment


def register_pack(pack: T, *, replace: bool = False) -> T:
    """Make a pack known to this process, as `register_environment` does an environment."""
    _PACKS.add(pack, replace=replace)
    return pack


def known_environments() -> list[Environment]:
    """List every environment, the built-in ones first."""
    return list(_ENVIRONMENTS.values())


def find_environment(name: str) -> Environment:
    """Find the environment of this name. Raises TaskError where there is none."""
    environment = _ENVIRONMENTS.get(name)
    if environment is None:
        raise TaskError(f"There is no environment named {name!r}; choose one of {', '.join(_ENVIRONMENTS)}.")
    return environment


def registered_packs() -> dict[str, Pack]:
    """Packs that come with the workbench, and those that Python code or other packages registered, by name."""
    return dict(_PACKS)


def _as_environment(candidate: object) -> Environment:
    environment = instance_of(candidate)
    if not isinstance(environment, Environment):
        raise PluginError(
            f"it is of type {type(environment).__name__}, and must be a subclass of workbench.tasks.Environment."
        )
    check_name(environment)
    check_method(environment, "check", "task")
    check_method(environment, "program", "task", "text")
    check_method(environment, "verdict", "task", "text", "result")
    if type(environment).verdict is Environment.verdict:
        raise PluginError("it has no method verdict(task, text, result) of its own.")
    return environment


def _as_pack(candidate: object) -> Pack:
    pack = instance_of(candidate)
    check_name(pack)
    check_method(pack, "train", "count", "seed")
    check_method(pack, "held_out", "count")
    check_method(pack, "describe")
    return cast("Pack", pack)


_ENVIRONMENTS: Registry[Environment] = Registry("environment", "sdpo_workbench.environments", _as_environment, BUILT_IN)
_PACKS: Registry[Pack] = Registry("pack", "sdpo_workbench.packs", _as_pack, OWN_PACKS)
