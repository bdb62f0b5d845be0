"""The study of templates: how often the self-teacher passes when it writes itself, by template and kind of feedback.

A step takes one kind of feedback on one side of the split, and every arm, "no feedback" and one per template, answers
its tasks. Nothing is learned, so the policy is left alone, and all teachers are one. A template is chosen by the tasks
of one side and reported on the other. Knows nothing of prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from threading import Event
from typing import Any

from workbench.config import SDPOConfig
from workbench.experiments.journal import Journal, Point
from workbench.experiments.settings import TemplateStudySettings
from workbench.experiments.template_tasks import CASES, SPLITS
from workbench.session import Session
from workbench.templates import TEMPLATES

NO_FEEDBACK = "no feedback"


def study_templates(
    session: Session,
    settings: TemplateStudySettings | None = None,
    *,
    seed: int = 0,
    name: str | None = None,
    stop: Event | None = None,
) -> Iterator[Point]:
    """Study how often the self-teacher passes when it writes the answers itself, under each named template.

    Yields a point per arm, kind of feedback and side of the split: {"kind", "split", "passed", "total"}. The policy is
    left as it was. Raises PromptError, SandboxError.
    """
    settings = settings or TemplateStudySettings()
    journal = Journal(
        session, name, {**asdict(settings), "templates": dict(TEMPLATES)}, kind="templates", seed=seed, stop=stop
    )
    steps = [(kind, split) for split in SPLITS for kind in CASES]

    def work(step: int, arms: Sequence[str]) -> Mapping[str, dict[str, Any]]:
        kind, split = steps[step]
        cases = CASES[kind][split]
        measured: dict[str, dict[str, Any]] = {}
        for arm in arms:
            shown = [(case.task, "" if arm == NO_FEEDBACK else case.feedback) for case in cases]
            config = SDPOConfig() if arm == NO_FEEDBACK else SDPOConfig(template=arm)
            rate = session.answers_with(
                shown, config, n=settings.samples, max_new_tokens=settings.max_new_tokens, stop=journal.stop
            )
            measured[arm] = {"kind": kind, "split": split, "passed": rate.passed, "total": rate.total}
        return measured

    with journal:
        yield from journal.run_together([NO_FEEDBACK, *TEMPLATES], len(steps), work)
