"""Tasks and environments: an attempt's text in, a reward and feedback out. Knows nothing of models."""

from __future__ import annotations

from workbench.tasks import sandbox
from workbench.tasks.environment import Environment
from workbench.tasks.environments import MODEL
from workbench.tasks.judging import check_automatic, check_task, judge, judge_many
from workbench.tasks.pack import Pack, PackFacts
from workbench.tasks.packs import (
    BUILT_IN,
    dump_pack,
    find_pack,
    is_built_in,
    load_pack,
    load_packs,
    open_pack,
    pack_names,
    parse_pack,
    parse_table,
    read_source,
)
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
    "MODEL",
    "Environment",
    "Pack",
    "PackFacts",
    "TaskPack",
    "check_automatic",
    "check_task",
    "dump_pack",
    "find_environment",
    "find_pack",
    "is_built_in",
    "judge",
    "judge_many",
    "known_environments",
    "load_pack",
    "load_packs",
    "open_pack",
    "pack_names",
    "parse_pack",
    "parse_table",
    "read_source",
    "register_environment",
    "register_pack",
    "registered_packs",
    "sandbox",
]
