"""Rows in the published formats, made for tests; and the published test splits, where they are."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

SHARED = Path(__file__).parents[1].parent / "shared"
DATA = sorted((SHARED / "data").glob("*.jsonl"))
GOLDEN = SHARED / "golden" / "graders.json"

CHOICE = {
    "idx": 7,
    "kind": "mcq",
    "dataset": "sciknoweval",
    "answer": "B",
    "elo": 1500,
    "prompt": "Which is blue?\n\nA: grass\nB: the sky\nPlease reason step by step.",
    "tests": "-",
    "embedding": [],
    "system": "\nRespond with tags.\n",
}
TOOL_PROMPT = """Use the tools.
Documentation:
find: Find a place.
Parameters: {"name": "Required. string. Its name.", "limit": "integer. How many.", "near": "Object. A place."}
Output: Places.
 - Structure: Array[Object{name}]
tag: Tag a place.
Parameters: {"tags": "Required. Array[string]. The tags.", "id": "string or integer. Its id.", "odd": "Something."}
list: List all.
Parameters: {}

Question: Find it."""
CALLS = [
    {"Action": "find", "Action_Input": '{"name": "Oslo", "limit": 2, "near": {"x": 1}}'},
    {"Action": "tag", "Action_Input": '{"tags": ["a"], "id": ""}'},
    {"Action": "[Optional]list", "Action_Input": "{}"},
]
TOOLS = {
    "prompt": TOOL_PROMPT,
    "idx": 4046,
    "dataset": "tooluse",
    "system": None,
    "answer": json.dumps(CALLS),
    "tests": None,
    "kind": "tooluse",
}
STDIN_TESTS = [
    {"input": "1\n", "output": "2\n", "testtype": "stdin"},
    {"input": "5\n", "output": "6", "testtype": "stdin"},
]


def packed(value: Any, protocol: int = 4) -> str:
    """Private tests as LiveCodeBench packs them."""
    return base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()


PROBLEM = {
    "question_title": "Add one",
    "question_content": "Print n + 1.\n\nSample Input\n\n1\n\nSample Output\n\n2",
    "platform": "atcoder",
    "question_id": "abc_a",
    "contest_date": "2025-02-08T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
    "public_test_cases": json.dumps(STDIN_TESTS[:1]),
    "private_test_cases": packed(json.dumps(STDIN_TESTS[1:])),
    "metadata": "{}",
}
FUNCTION = {
    **PROBLEM,
    "question_id": "3654",
    "starter_code": "class Solution:\n    def add(self, xs: List[int], n: int) -> int:\n        ",
    "public_test_cases": '[{"input": "[1, 2]\\n3", "output": "6", "testtype": "functional"}]',
    "private_test_cases": packed('[{"input": "[]\\n3", "output": "3", "testtype": "functional"}]'),
    "metadata": '{"func_name": "add"}',
}
PAPERS_PROBLEM = {
    "kind": "code",
    "dataset": "livecodebench",
    "idx": 3,
    "answer": "-",
    "elo": "-",
    "prompt": "Write it.\n```python\ndef add(self, xs, n):\n```",
    "system": None,
    "tests": json.dumps(
        {
            "inputs": ["[1, 2]\n3", "[]\n3"],
            "outputs": ["6", "3"],
            "testtype": "functional",
            "fn_name": "add",
            "time_limit": 6,
        }
    ),
}
