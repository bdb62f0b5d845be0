"""Other models that could be the policy on this machine. Knows nothing of how memory is predicted."""

from __future__ import annotations

from workbench.policy.adapter import settings_of
from workbench.policy.catalogue import Candidate, candidates
from workbench.policy.memory import free_bytes
from workbench.session.core import SessionCore


def hub_models(session: SessionCore) -> list[Candidate]:
    """Models worth trying, smallest first, with their sizes and whether each fits; nothing is downloaded."""
    device = session.policy.device
    return candidates(device, settings_of(session.policy.facts), free_bytes(device))
