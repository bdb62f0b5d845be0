"""Extensions from other packages, found by their entry points. Knows nothing of what is extended.

A package names its extensions in its `pyproject.toml`:

    [project.entry-points."sdpo_workbench.environments"]
    style = "my_package.style:Style"

A `Registry` holds the extensions of one kind: those that are built in, those that Python code registered, and those of
entry points, which are loaded once, when the registry is first asked. A plugin that cannot be loaded costs one
sentence (see `problems`); everything else works.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, TypeVar

from workbench.errors import PluginError, WorkbenchError


class Named(Protocol):
    """An extension: the rest is up to its kind."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


@dataclass(frozen=True, slots=True)
class Problem:
    """A plugin that was left out."""

    group: str  # of its entry point, e.g. "sdpo_workbench.packs"
    name: str  # of its entry point
    package: str  # that brings it
    sentence: str  # names the plugin, and says why it was left out


class Registry(Mapping[str, T]):
    """The extensions of one kind, by name, those that are built in first. The first look into it loads the plugins."""

    def __init__(self, kind: str, group: str, accept: Callable[[object], T], built_in: Iterable[T] = ()) -> None:
        """`kind`: for people, e.g. "environment"; `group`: of the entry points.

        `accept` turns what an entry point or a caller provides into an extension. Where it cannot, it raises
        PluginError (a sentence that begins with "it") or another WorkbenchError (a complete sentence).
        """
        self.kind, self.group = kind, group
        self._accept = accept
        self._built_in: dict[str, T] = {item.name: item for item in built_in}
        self._added: dict[str, T] = {}
        self._problems: list[Problem] = []
        self._loaded = False
        self._lock = threading.RLock()
        _REGISTRIES.append(self)  # type: ignore[arg-type]  # of any kind

    def add(self, extension: object, *, replace: bool = False) -> None:
        """Register an extension. `replace`: also in place of one that is not built in.

        Raises PluginError for anything but an extension of this kind, and for a name that is taken.
        """
        try:
            self._put(extension, replace=replace)
        except PluginError as error:
            raise PluginError(f"This {self.kind} cannot be registered: {error}") from error

    def _put(self, extension: object, *, replace: bool = False) -> None:
        with self._lock:
            item = self._accept(extension)
            if item.name in self._built_in or (item.name in self._added and not replace):
                raise PluginError(f"there is already {_a(self.kind)} named {item.name!r}; choose another name.")
            self._added[item.name] = item

    def __getitem__(self, name: str) -> T:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, T]:
        self._load()
        with self._lock:
            return {**self._built_in, **self._added}

    def added(self) -> list[str]:
        """Names of the extensions that are not built in."""
        return [name for name in self if name not in self._built_in]

    def problems(self) -> tuple[Problem, ...]:
        """Plugins of this kind that were left out, and why."""
        self._load()
        return tuple(self._problems)

    def _load(self) -> None:
        with self._lock:
            if self._loaded:
                return
            self._loaded = True  # first: a plugin may ask this registry while it is imported
            for point in sorted(entry_points(group=self.group), key=lambda point: point.name):
                reason = self._reason_against(point)
                if reason:
                    package = point.dist.name if point.dist is not None else "an unknown package"
                    sentence = f"The {self.kind} plugin {point.name!r} of {package} was left out: {reason}"
                    self._problems.append(Problem(self.group, point.name, package, sentence))
                    # Without a configuration of logging this is one line on stderr.
                    logging.getLogger(__name__).warning("%s", sentence)

    def _reason_against(self, point: EntryPoint) -> str:
        """Load one plugin; returns the reason why it is left out, or ""."""
        try:
            self._put(point.load())
        except WorkbenchError as error:
            return str(error)
        except (Exception, SystemExit) as error:  # whatever someone else's module does while it is imported
            return f"it cannot be loaded ({_one_line(error)})."
        return ""


_REGISTRIES: list[Registry[Named]] = []


def registries() -> list[Registry[Named]]:
    """Registries of the kinds whose module was imported."""
    return list(_REGISTRIES)


def problems() -> list[Problem]:
    """Plugins of every kind that were left out; loads those that were not loaded yet.

    Kinds whose module was never imported are unknown here: `workbench.tasks` has environments and packs,
    `workbench.credit` views.
    """
    return [problem for registry in _REGISTRIES for problem in registry.problems()]


def instance_of(extension: object) -> object:
    """Make an extension of a class that takes no arguments; return anything else as it is. Raises PluginError."""
    if not inspect.isclass(extension):
        return extension
    try:
        return extension()
    except Exception as error:
        raise PluginError(f"{extension.__name__}() cannot be created ({_one_line(error)}).") from error


def check_name(extension: object) -> None:
    """Raise PluginError where an extension has no name that can stand in files and commands."""
    name = getattr(extension, "name", None)
    if not isinstance(name, str) or not name or not all(char.isalnum() or char in "-_." for char in name):
        raise PluginError(f"its name is {name!r}; a name consists of letters, digits, '-', '_' and '.'.")


def check_method(extension: object, method: str, *arguments: str) -> None:
    """Raise PluginError unless a method can be called with this many arguments; they are named for people."""
    called = getattr(extension, method, None)
    call = f"{method}({', '.join(arguments)})"
    if not callable(called):
        raise PluginError(f"it has no method {call}.")
    try:
        inspect.signature(called).bind(*arguments)
    except TypeError:
        raise PluginError(f"its method {method}{inspect.signature(called)} cannot be called as {call}.") from None
    except ValueError:  # a function without a signature, written in C: calling it will show
        return


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
