"""The study of templates: its tasks, its points, and the report that they give."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from workbench import Workbench
from workbench.errors import ConfigError
from workbench.experiments.findings import make_report
from workbench.experiments.settings import TemplateStudySettings
from workbench.experiments.template_study import NO_FEEDBACK
from workbench.experiments.template_tasks import CASES, SPLITS
from workbench.tasks import check_task
from workbench.templates import TEMPLATES

ARMS = [NO_FEEDBACK, *TEMPLATES]


def test_every_kind_has_tasks_of_its_own_on_both_sides() -> None:
    cases = [case for kind in CASES.values() for split in SPLITS for case in kind[split]]
    assert len(CASES) >= 6 and all(set(kind) == set(SPLITS) for kind in CASES.values())
    assert len({case.task.prompt for case in cases}) == len({case.task.id for case in cases}) == len(cases)
    assert all(check_task(case.task) == case.task and case.feedback for case in cases)


def test_all_arms_answer_the_same_tasks_and_the_report_has_their_rates(tmp_path: Path) -> None:
    settings = TemplateStudySettings(samples=2, max_new_tokens=3)
    with Workbench.open(tmp_path / "run") as workbench:
        head = workbench.head
        first = list(islice(workbench.study_templates(settings, name="study"), len(ARMS)))
        again = list(islice(workbench.study_templates(settings, name="study"), len(ARMS)))
        assert [point.data for point in again] == [point.data for point in first]  # resumed, not measured anew
        assert [point.arm for point in first] == ARMS and workbench.head == head
        assert {(point.data["kind"], point.data["split"], point.data["total"]) for point in first} == {
            (next(iter(CASES)), SPLITS[0], 2 * settings.samples)
        }
        report = make_report(list(workbench.experiments().values()), {})
        assert next(row[0] for row in report.tables[0].rows) == NO_FEEDBACK
        assert {row[0] for row in report.tables[0].rows} == set(ARMS)
        with pytest.raises(ConfigError, match="other settings"):
            list(workbench.study_templates(TemplateStudySettings(samples=3), name="study"))
    with pytest.raises(ConfigError, match="samples is 0"):
        TemplateStudySettings(samples=0)
