"""`Workbench`, the public API: a session with the experiments on top."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.config import Method, SDPOConfig
from workbench.experiments.learn import LearnPoint, LearnSettings, learn
from workbench.session import Session


class Workbench(Session):
    """One run directory and one policy. Use `Workbench.open`; see `Session` for the steps of a round."""

    def learn(
        self,
        pack: str = "house-rules",
        *,
        method: Method = "sdpo",
        config: SDPOConfig | None = None,
        settings: LearnSettings | None = None,
        seed: int = 0,
    ) -> Iterator[LearnPoint]:
        """Round after round on a pack, yielding the learning curve as it grows.

        `config` None takes the defaults of `method`, with one optimiser step a round. Raises TaskError for an
        unknown pack.
        """
        return learn(self, pack, config or SDPOConfig(method=method, steps=1), settings, seed=seed)
