"""More named endpoints: what the panels around the heatmap can do. `api` declares them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from workbench.config import SDPOConfig
from workbench.ui import compare_jobs
from workbench.ui.forms import make_config
from workbench.ui.studio import Studio

Endpoint = Callable[..., Awaitable[Any]]


def endpoints(studio: Studio, result: Endpoint) -> tuple[Endpoint, ...]:
    """The endpoints; `result(job)` waits for a job without holding a thread."""

    async def teacher_lift(attempts: list, config: dict | None = None) -> dict:
        """Pass rates of the self-teacher's own attempts and of the student's, with 95 % intervals."""
        return await result(studio.teacher_lift(attempts, make_config(SDPOConfig, config)))

    async def alarms() -> dict:
        """What is worrying about the update in force, a sentence each."""
        return {"alarms": list(studio.desk.facts.get("alarms", ()))}

    async def branch(name: str) -> dict:
        """Updates from here on carry this name."""
        return {"branch": await result(studio.branch(name))}

    async def compare_nodes(first: str, second: str, attempt: str = "", config: dict | None = None) -> dict:
        """Two updates side by side: pass rates, distance of the adapters, and an attempt re-scored under both."""
        made = make_config(SDPOConfig, config)
        return await result(studio.compare_nodes(first, second, attempt or None, made))

    async def compare(
        attempt: str,
        by: str = "estimators",
        config: dict | None = None,
        view: str = "raw",
        feedback: str = "",
        demonstration: str = "",
    ) -> dict:
        """An attempt under several estimators, teachers or feedbacks, on one scale, with rank correlations."""
        made = make_config(SDPOConfig, config)
        job = compare_jobs.compare(studio, attempt, by, made, view=view, feedback=feedback, demonstration=demonstration)
        return await result(job)

    async def compare_runs(other: str) -> dict:
        """This run beside another one of the same directory: pass rates, learning curves, settings that differ."""
        return await result(compare_jobs.compare_runs(studio, other))

    return (teacher_lift, alarms, branch, compare_nodes, compare, compare_runs)
