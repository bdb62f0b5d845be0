"""Actions: one typed function per verb, from which the queue's job, the endpoint, the button and the docs derive.

    @action("Sample", job="Sampling {n} attempts", python="attempt")
    def sample(context: JobContext, task: TaskId, n: Attempts = 8) -> list[Attempt]:
        "Sample and judge n attempts at a task."

    sample(queue, "house-rules/sort-take-1", 4).result()

A parameter's checks are part of its type (`workbench.service.checks`): they run before anything is queued, whoever
calls. The function itself runs in the worker's thread. An `@immediate` action reads the published state or the queue
and never waits for the worker.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from dataclasses import dataclass, is_dataclass
from functools import cached_property, update_wrapper
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from workbench.errors import FeedbackError
from workbench.records import Attempt, to_json
from workbench.service.job import PERSON, SHOWN, Job
from workbench.service.state import PublishedState

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.service.queue import JobQueue

P = ParamSpec("P")
R = TypeVar("R")
Check = Callable[[Any], Any]  # value -> the value that the action takes; raises WorkbenchError


@dataclass(frozen=True, slots=True)
class JobContext:
    """Context of a running action: the open workbench, its own job, and the queue to publish through."""

    workbench: Workbench
    job: Job[Any]
    queue: JobQueue

    @property
    def state(self) -> PublishedState:
        """The published state."""
        return self.queue.state

    def attempt(self, attempt_id: str) -> Attempt:
        """The attempt with this id. Raises FeedbackError."""
        for attempt in reversed(self.workbench.attempts()):
            if attempt.id == attempt_id:
                return attempt
        raise FeedbackError.no_attempt(attempt_id)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an action, as programs pass it."""

    name: str
    type: Any  # without its checks
    default: Any  # inspect.Parameter.empty where it is required
    checks: tuple[Check, ...]


class _Declared(Generic[P, R]):
    """Common base of both kinds of action: a name, a title, arguments with their checks, and a reply for programs."""

    def __init__(
        self,
        function: Callable[..., R],
        title: str,
        *,
        reply: Callable[[R], Any] | None,
        python: str | None,
        endpoint: bool,
    ) -> None:
        self.function, self.title, self.endpoint = function, title, endpoint
        self.name: str = function.__name__
        self.reply: Callable[[R], Any] = reply or as_plain
        self.python = self.name if python is None else python  # the method of `Workbench` that does the same
        update_wrapper(self, function)  # type: ignore[arg-type]  # it is callable: both subclasses are

    @cached_property
    def arguments(self) -> tuple[Argument, ...]:
        """The arguments after the first, which is the context or the queue."""
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        # Without the type of the result, which may name what only type checkers import.
        annotated = SimpleNamespace(__annotations__={parameter.name: parameter.annotation for parameter in parameters})
        hints = get_type_hints(annotated, self.function.__globals__, include_extras=True)
        return tuple(_argument(parameter, hints[parameter.name]) for parameter in parameters)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return inspect.getdoc(self.function).splitlines()[0] if self.function.__doc__ else ""  # type: ignore[union-attr]

    def checked(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The arguments by name, each passed through its checks. Raises WorkbenchError."""
        bound = inspect.signature(self.function).bind(None, *args, **kwargs)
        bound.apply_defaults()
        values = dict(list(bound.arguments.items())[1:])
        for argument in self.arguments:
            for check in argument.checks:
                values[argument.name] = check(values[argument.name])
        return values


class Action(_Declared[P, R]):
    """A verb that the worker carries out. Calling it queues a job."""

    def __init__(
        self,
        function: Callable[Concatenate[JobContext, P], R],
        title: str,
        *,
        job: str | Callable[..., str],
        kind: str | Callable[..., str] | None,
        check: Callable[..., None] | None,
        key: Callable[..., Hashable] | None,
        size: Callable[..., float] | None,
        **declared: Any,
    ) -> None:
        super().__init__(function, title, **declared)
        self._job, self._kind, self._check, self._key, self._size = job, kind, check, key, size

    def __call__(self, queue: JobQueue, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Check the arguments and queue the job. Raises WorkbenchError."""
        return self._submit(queue, self.checked(*args, **kwargs), None, PERSON)

    def once(self, who: Hashable, queue: JobQueue, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Queue the job of a button: pressed twice by one session while the first job waits or runs, it is one job."""
        values = self.checked(*args, **kwargs)
        return self._submit(queue, values, (self.name, who, repr(values)), PERSON)

    def want(self, queue: JobQueue, *args: Any, priority: int = SHOWN, gives_way: bool = False) -> R | Exception | None:
        """The result kept for these arguments; where there is none yet, a job for it is queued behind people's jobs.

        Only for an action with a `key`, which says what its result depends on.
        """
        values = self.checked(*args)
        key, kind, label = self._key_of(queue, values), self._kind_of(values), self._label(values)
        result: R | Exception | None = queue.want(
            key, kind, label, self._run(queue, values), priority=priority, gives_way=gives_way
        )
        return result

    def known(self, queue: JobQueue, *args: Any) -> R | Exception | None:
        """The result kept for these arguments, or None."""
        result: R | Exception | None = queue.known(self._key_of(queue, self.checked(*args)))
        return result

    def _submit(self, queue: JobQueue, values: dict[str, Any], key: Hashable, priority: int) -> Job[R]:
        if self._check is not None:
            self._check(queue.state, **values)
        return queue.submit(
            self._kind_of(values),
            self._label(values),
            self._run(queue, values),
            priority=priority,
            key=self._key_of(queue, values) if key is None and self._key is not None else key,
            size=1.0 if self._size is None else self._size(**values),
            arguments=values,
        )

    def _run(self, queue: JobQueue, values: dict[str, Any]) -> Callable[[Any, Job[R]], R]:
        return lambda workbench, job: self.function(JobContext(workbench, job, queue), **values)

    def _kind_of(self, values: dict[str, Any]) -> str:
        return self._kind(**values) if callable(self._kind) else self._kind or self.name

    def _key_of(self, queue: JobQueue, values: dict[str, Any]) -> Hashable:
        assert self._key is not None, f"the action {self.name} has no key"
        return (self.name, self._key(queue.state, **values))

    def _label(self, values: dict[str, Any]) -> str:
        return self._job(**values) if callable(self._job) else self._job.format(**values)


class Immediate(_Declared[P, R]):
    """A verb that reads the published state or the queue itself: answered at once, whatever the worker is doing."""

    def __call__(self, queue: JobQueue, *args: P.args, **kwargs: P.kwargs) -> R:
        """Check the arguments and answer. Raises WorkbenchError."""
        return self.function(queue, **self.checked(*args, **kwargs))


def action(
    title: str,
    *,
    job: str | Callable[..., str],
    reply: Callable[[Any], Any] | None = None,
    python: str | None = None,
    kind: str | Callable[..., str] | None = None,
    check: Callable[..., None] | None = None,
    key: Callable[..., Hashable] | None = None,
    size: Callable[..., float] | None = None,
    endpoint: bool = True,
) -> Callable[[Callable[Concatenate[JobContext, P], R]], Action[P, R]]:
    """Declare an action.

    Args:
        title: text of its button.
        job: label in the queue, a format string over the arguments or a function of them.
        reply: result -> JSON data for programs; by default dataclasses become objects.
        python: the method of `Workbench` that does the same, where its name differs.
        kind: jobs of one kind take time in proportion to their `size(**arguments)`; by default the action's name.
        check: (state, **arguments) -> None, for checks beyond a single argument; raises WorkbenchError.
        key: (state, **arguments) -> what the result depends on; results are then kept (`want`, `known`).
        endpoint: False for an action that only the page uses.
    """

    def declare(function: Callable[Concatenate[JobContext, P], R]) -> Action[P, R]:
        declared = {"reply": reply, "python": python, "endpoint": endpoint}
        return Action(function, title, job=job, kind=kind, check=check, key=key, size=size, **declared)

    return declare


def immediate(
    title: str, *, reply: Callable[[Any], Any] | None = None, python: str | None = None
) -> Callable[[Callable[Concatenate[JobQueue, P], R]], Immediate[P, R]]:
    """Declare an action that never waits for the worker; arguments as for `action`."""

    def declare(function: Callable[Concatenate[JobQueue, P], R]) -> Immediate[P, R]:
        return Immediate(function, title, reply=reply, python=python, endpoint=True)

    return declare


def as_plain(result: Any) -> Any:
    """Convert a result to JSON data: records become objects, also inside lists."""
    if isinstance(result, (list, tuple)):
        return [as_plain(item) for item in result]
    if hasattr(result, "to_json"):
        return result.to_json()
    return to_json(result) if is_dataclass(result) else result


def _argument(parameter: inspect.Parameter, hint: Any) -> Argument:
    checks: tuple[Check, ...] = ()
    if get_origin(hint) is not None and hasattr(hint, "__metadata__"):
        hint, checks = get_args(hint)[0], hint.__metadata__
    return Argument(parameter.name, hint, parameter.default, checks)
