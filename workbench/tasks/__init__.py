"""Tasks and environments: an attempt's text in, a reward and feedback out. Knows nothing of models."""

from __future__ import annotations

from workbench.tasks import sandbox
from workbench.tasks.environments import MODEL, check_task, judge, judge_many
from workbench.tasks.packs import BUILT_IN, dump_pack, is_built_in, load_pack, parse_pack

__all__ = [
    "BUILT_IN",
    "MODEL",
    "check_task",
    "dump_pack",
    "is_built_in",
    "judge",
    "judge_many",
    "load_pack",
    "parse_pack",
    "sandbox",
]
