"""The policy: the only code that touches weights. Knows nothing of runs and pages.

Loading and quantisation, prompts and their alignment, sampling, scoring, the self-teacher, the update step.
Importing this package loads no model library; those come with `load_policy`.
"""

from __future__ import annotations

from workbench.policy.loading import load_policy
from workbench.policy.policy import Policy

__all__ = ["Policy", "load_policy"]
