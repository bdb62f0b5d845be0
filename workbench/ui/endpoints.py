"""More named endpoints: what the panels around the heatmap can do. `api` declares them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from workbench.config import SDPOConfig
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

    return (teacher_lift, alarms, branch, compare_nodes)
