"""A pack of one's own: Python tests whose prompts the embedded policy understands, as the rows of a JSONL file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.tasks.house_rules.pack import house_tasks
from workbench.tasks.house_rules.world import House, parse_specification


def rows(count: int, house: int = 11) -> list[dict[str, Any]]:
    """Specifications with the values that one house expects: what another policy would read in its documentation."""
    tasks = []
    for task in house_tasks(f"house-rules@{house}", count, held_out=False, stages=(1, 2)):
        specification = parse_specification(task.prompt)
        right = House(house).choices(specification)
        tests = [
            {"function": "f", "args": [list(xs)], "expected": specification.outputs(list(xs))[right]}
            for xs in task.answer["checks"]
        ]
        tasks.append({"prompt": task.prompt, "environment": "python", "answer": {"tests": tests}})
    return tasks


def write(path: Path, *lines: dict[str, Any]) -> Path:
    """A JSONL file."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
