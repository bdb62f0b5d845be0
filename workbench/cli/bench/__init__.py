"""`bench NAME`: what is claimed of speed, memory and endurance, measured on this machine.

A benchmark is a command with options of its own; what it does is in `workbench.benchmarks`, what it prints is here.
"""

from __future__ import annotations

import typer

from workbench.cli.bench import endurance, server, speed

_COMMANDS = (
    speed.round_,
    speed.credit,
    speed.loss,
    speed.judging,
    speed.start,
    speed.heatmap,
    speed.sandbox,
    server.load,
    server.fuzz,
    server.idle,
    endurance.kills,
    endurance.soak,
    endurance.store,
)


def build() -> typer.Typer:
    """The benchmarks under their names."""
    app = typer.Typer(help="Measure the workbench on this machine.")
    for command in _COMMANDS:
        app.command(name=command.__name__.rstrip("_"))(command)
    return app
