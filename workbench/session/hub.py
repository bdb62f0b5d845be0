"""Which hub models could be the policy on this machine. Knows nothing of how memory is predicted."""

from __future__ import annotations

from workbench.policy.adapter import settings_of
from workbench.policy.catalogue import Candidate, candidates
from workbench.session.credit import CreditBook


class HubModels(CreditBook):
    """A credit book that knows what else its machine could hold."""

    def hub_models(self) -> list[Candidate]:
        """Hub models worth trying, smallest first, with their sizes and whether each fits; nothing is downloaded."""
        return candidates(self.policy.device, settings_of(self.policy.facts))
