"""The command `app`: the page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.output import DEFAULT_RUN, RunOption
from workbench.cli.policy import takes_policy
from workbench.cli.sandbox import takes_sandbox
from workbench.config import PolicyConfig
from workbench.launch import AUTH, Site, serve


@takes_sandbox
@takes_policy()
def app(
    policy: PolicyConfig,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs --auth, or --replay.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    auth: Annotated[
        str | None,
        typer.Option(
            metavar="NAME:PASSWORD",
            help=f"Log-in for the page; other users of this machine can see options, so prefer the variable {AUTH}.",
        ),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="A host name that a proxy answers to; repeatable.")
    ] = None,
    root_path: Annotated[
        str, typer.Option(help="Where a proxy serves the page: a path such as /workbench, or a whole URL.")
    ] = "",
    embedded_in: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="A site whose pages may show this one in a frame; repeatable."),
    ] = None,
    run: RunOption = DEFAULT_RUN,
    replay: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Show a stored run, without its model and without a lock.")
    ] = None,
    allow_unsafe_exec: Annotated[
        bool,
        typer.Option(
            "--allow-unsafe-exec",
            help="Run model-written code with limits only, where this machine cannot confine it; on loopback only.",
        ),
    ] = False,
) -> None:
    """Serve the page of a run until interrupted."""
    from_environment = os.environ.pop(AUTH, None)  # no program that is started from here needs it
    site = Site(
        host=host,
        port=port,
        auth=auth or from_environment,
        names=tuple(name or ()),
        root_path=root_path,
        embedded_in=tuple(embedded_in or ()),
    )
    serve(site, replay or run, policy, replay=replay is not None, unsafe=allow_unsafe_exec)
