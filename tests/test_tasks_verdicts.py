"""Answers that public graders are known to misjudge get the right verdict here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.records import Task
from workbench.tasks import judge

FILE = Path(__file__).resolve().parents[2] / "shared" / "cases" / "verdicts.json"
READ_AS_TEXT = ("choice", "exact", "contains", "regex")
CASES: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []


@pytest.mark.skipif(not CASES, reason=f"the collected cases are not at {FILE}")
def test_answers_that_are_read_as_text() -> None:
    cases = [case for case in CASES if case["environment"] in READ_AS_TEXT]
    wrong = [
        case["name"]
        for case in cases
        if judge(Task("p/t", "Q", case["environment"], case["answer"]), case["text"]).passed is not case["passed"]
    ]
    assert len(cases) == 14 and wrong == []
