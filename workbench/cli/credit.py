"""The command `credit`: how the self-teacher scores each token, and a check of the stored scores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import (
    DEFAULT_RUN,
    JsonOption,
    Output,
    RunOption,
    find_attempt,
    opened,
)
from workbench.cli.policy import takes_policy
from workbench.cli.sandbox import takes_sandbox
from workbench.cli.settings import ALL_KINDS, KindsOption, TeacherOption, parsed_kinds
from workbench.config import PolicyConfig, SDPOConfig
from workbench.errors import ConfigError
from workbench.records import to_json

if TYPE_CHECKING:
    from workbench import Workbench


@takes_sandbox
@takes_policy()
def credit(
    policy: PolicyConfig,
    attempt: Annotated[
        str | None, typer.Argument(help="Id of an attempt; default: the newest, with --check all of the run.")
    ] = None,
    attempt_id: Annotated[str | None, typer.Option("--attempt", help="The same, as an option.")] = None,
    view: Annotated[str, typer.Option(help="The view to show: raw, centred, divergence, control, ...")] = "raw",
    contexts: Annotated[
        str | None, typer.Option(help="'all', or comma-separated names; default: those that the view needs.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write the heatmap to this file.")] = None,
    teacher: TeacherOption = "trust_region",
    feedback_kinds: KindsOption = ALL_KINDS,
    check: Annotated[
        bool, typer.Option("--check", help="Recompute the stored scores in float64, token by token, and compare.")
    ] = False,
    test: Annotated[
        int | None,
        typer.Option(
            help="Number of a token, from 1: force the self-teacher's alternative there, and compare the pass rates."
        ),
    ] = None,
    n: Annotated[int, typer.Option("-n", help="Continuations from each of the two tokens of --test.")] = 16,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> int:
    """Show how the self-teacher scores each token of an attempt, or check the stored scores."""
    output = Output(as_json)
    if attempt is not None and attempt_id is not None:
        raise ConfigError("The attempt was given twice; pass it either as an argument or with --attempt.")
    chosen = attempt or attempt_id
    kinds = parsed_kinds(feedback_kinds)
    config = SDPOConfig(teacher=teacher, feedback_kinds=kinds)  # type: ignore[arg-type]  # checked by the config itself
    with opened(output, run, policy) as workbench:
        if check:
            return _check(workbench, chosen, output)
        if test is not None:
            _test(workbench, chosen or "latest", test - 1, n, config, output)
            return 0
        _show(workbench, chosen or "latest", config, view, contexts, html, output)
        return 0


def _show(
    workbench: Workbench,
    attempt: str,
    config: SDPOConfig,
    view: str,
    contexts: str | None,
    html: Path | None,
    output: Output,
) -> None:
    needed = workbench.contexts_of(view)
    requested = needed if contexts is None else [name.strip() for name in contexts.split(",")]
    scored = workbench.credit(find_attempt(workbench, attempt), config, contexts=requested)
    values = scored.view(view)
    if html is not None:
        scored.to_html(html)
    output.table(
        f"Credit of {scored.attempt_id}",
        ("token", *(f"{name.replace('_', ' ')}, nats" for name in scored.contexts), view),
        zip(map(repr, scored.tokens), *scored.contexts.values(), values, strict=True),
    )
    for name, reason in scored.absent.items():
        output.say(f"The context {name!r} is absent: {reason}.")
    output.say(scored.summary())
    output.summary(
        {
            "attempt": scored.attempt_id,
            "view": view,
            "tokens": scored.tokens,
            "token_ids": scored.token_ids,
            "values": values,
            "contexts": dict(scored.contexts),
            "absent": dict(scored.absent),
            "noise_floor": scored.noise_floor,
            "summary": scored.summary(),
        }
    )


def _test(workbench: Workbench, attempt: str, position: int, n: int, config: SDPOConfig, output: Output) -> None:
    result = workbench.test_credit(find_attempt(workbench, attempt), position, n=n, config=config)
    low, high = result.interval
    output.table(
        f"Token {position + 1} of {result.attempt_id}, {n} continuations of each",
        ("token", "id", "passed"),
        [
            (repr(result.token), result.token_id, result.passed),
            (repr(result.forced), result.forced_id, result.passed_forced),
        ],
    )
    interval = f"95 % interval {low:+.2f} to {high:+.2f}"
    output.say(f"Forcing {result.forced!r} changes the pass rate by {result.change:+.2f}, {interval}.")
    output.summary({**to_json(result), "change": result.change, "interval": [low, high]})


def _check(workbench: Workbench, attempt: str | None, output: Output) -> int:
    """Check stored credit; return 0 where all of it is within its bound, else 1 with one sentence."""
    checks = workbench.check_credit(find_attempt(workbench, attempt) if attempt else None)
    names = list(dict.fromkeys(name for check in checks for name in check.differences))
    rows, summary = [], {}
    for name in names:
        worst = max(
            (check for check in checks if name in check.differences), key=lambda check: check.differences[name].largest
        )
        difference = worst.differences[name]
        rows.append(
            (name, f"{difference.largest:.1e}", worst.bound, worst.attempt_id, worst.update_id, difference.position + 1)
        )
        summary[name] = {"largest": difference.largest, "attempt": worst.attempt_id, "position": difference.position}
    first, largest = checks[0], max(check.largest for check in checks)
    output.table(
        f"{len(checks)} stored credits against float64 on the CPU, one token at a time",
        ("context or quantity", "largest difference, nats", "bound", "attempt", "policy", "token"),
        rows,
    )
    if first.dequantised:
        output.say("The float64 weights are the quantised layers as bitsandbytes dequantises them.")
    for _, reason in workbench.run.set_aside:
        output.say(f"Set aside: {reason}.")
    output.summary(
        {
            "check": "credit",
            "credits": len(checks),
            "precision": first.precision,
            "dequantised": first.dequantised,
            "bound": first.bound,
            "largest": largest,
            "differences": summary,
            "ok": all(check.ok for check in checks),
        }
    )
    wrong = [check for check in checks if not check.ok]
    if not wrong:
        output.say(f"The largest difference is {largest:.1e}, within the bound of {first.bound:g} ({first.precision}).")
        return 0
    worst = max(wrong, key=lambda check: check.largest)
    name = max(worst.differences, key=lambda name: worst.differences[name].largest)
    print(
        f"{len(wrong)} of {len(checks)} stored credits differ from the float64 recomputation: {name} of attempt "
        f"{worst.attempt_id} is off by {worst.largest:.2g}, more than the {worst.bound:g} that {worst.precision} "
        "allows; score the attempt again.",
        file=sys.stderr,
    )
    return 1
