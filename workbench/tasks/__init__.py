"""Tasks and environments: an attempt's text in, a reward and feedback out. Knows nothing of models."""

from __future__ import annotations

from workbench.tasks import sandbox
from workbench.tasks.environment import Environment
from workbench.tasks.environments import RUBRIC, criteria_of, is_rubric
from workbench.tasks.judging import check_automatic, check_task, judge, judge_many, show_task, with_reasoning
from workbench.tasks.pack import Pack, PackFacts
from workbench.tasks.packs import (
    BUILT_IN,
    dump_pack,
    find_pack,
    is_built_in,
    load_pack,
    load_packs,
    offered_packs,
    open_pack,
    pack_names,
    parse_pack,
    parse_table,
    read_source,
)
from workbench.tasks.reading import opens_reasoning, split_reasoning
from workbench.tasks.registry import (
    find_environment,
    known_environments,
    register_environment,
    register_pack,
    registered_packs,
)
from workbench.tasks.task_pack import TaskPack

__all__ = [
    "BUILT_IN",
    "RUBRIC",
    "Environment",
    "Pack",
    "PackFacts",
    "TaskPack",
    "check_automatic",
    "check_task",
    "criteria_of",
    "dump_pack",
    "find_environment",
    "find_pack",
    "is_built_in",
    "is_rubric",
    "judge",
    "judge_many",
    "known_environments",
    "load_pack",
    "load_packs",
    "offered_packs",
    "open_pack",
    "opens_reasoning",
    "pack_names",
    "parse_pack",
    "parse_table",
    "read_source",
    "register_environment",
    "register_pack",
    "registered_packs",
    "sandbox",
    "show_task",
    "split_reasoning",
    "with_reasoning",
]
