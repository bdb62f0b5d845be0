"""The option that says in which tier of the sandbox the commands run model-written code."""

from __future__ import annotations

import functools
import inspect
from typing import Annotated, Any

import typer

from workbench.cli.settings import Command

NAME = "sandbox"
SandboxOption = Annotated[
    str,
    typer.Option(
        help="Tier in which model-written code runs: bubblewrap, landlock, wasm, or auto, the strongest that holds."
    ),
]


def takes_sandbox(command: Command) -> Command:
    """Give a command the option `--sandbox`, which holds for its process. Raises ConfigError, SandboxError."""
    signature = inspect.signature(command, eval_str=True)
    option = inspect.Parameter(NAME, inspect.Parameter.KEYWORD_ONLY, default="auto", annotation=SandboxOption)
    parameters = [*signature.parameters.values(), option]

    @functools.wraps(command)
    def run(**arguments: Any) -> Any:
        from workbench.tasks.sandbox import use_tier

        use_tier(arguments.pop(NAME))
        return command(**arguments)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return run  # type: ignore[return-value]
