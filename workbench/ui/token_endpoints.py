"""The named endpoints of one token: both distributions, testing its credit, forcing another. `api` declares them."""

from __future__ import annotations

from workbench.config import SDPOConfig
from workbench.records import to_json
from workbench.service.actions import tokens
from workbench.service.actions.round import Studio
from workbench.service.checks import make_config
from workbench.ui.endpoints import Endpoint


def endpoints(studio: Studio, result: Endpoint) -> tuple[Endpoint, ...]:
    """The endpoints; `result(job)` waits for a job without holding a thread."""

    async def top(attempt: str, position: int, config: dict | None = None) -> dict:
        """Both sides' likeliest tokens at a position (from 0), all other tokens together last, and the push on each."""
        return await result(tokens.distributions(studio, attempt, position, make_config(SDPOConfig, config)))

    async def test_credit(
        attempt: str,
        position: int,
        token_id: int | None = None,
        n: int = tokens.CONTINUATIONS,
        config: dict | None = None,
    ) -> dict:
        """Force another token (null: the self-teacher's) and count what passes, against the attempt's own token."""
        return await result(tokens.tested(studio, attempt, position, token_id, n, make_config(SDPOConfig, config)))

    async def force_token(attempt: str, position: int, token_id: int) -> dict:
        """A new attempt of the group: the attempt's tokens before a position, another token there, then the policy."""
        return to_json(await result(tokens.forced(studio, attempt, position, token_id)))

    return (top, test_credit, force_token)
