"""Hub models that could be the policy on this machine. Knows nothing of how memory is predicted."""

from __future__ import annotations

from workbench.policy.adapter import settings_of
from workbench.policy.catalogue import Candidate, candidates
from workbench.session.core import SessionCore


def hub_models(session: SessionCore) -> list[Candidate]:
    """Hub models worth trying, smallest first, with their sizes and whether each fits; nothing is downloaded."""
    return candidates(session.policy.device, settings_of(session.policy.facts))
