"""The worked example of a teacher in docs/extending.md: its edits are made to a copy of the package, and it teaches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from extending import apply_diff, blocks, copy_of_the_workbench, file_count, run

HEADING = "A new teacher"
# Both parts of the mixture as the workbench scores them alone: log-probabilities (T, V) of the whole vocabulary.
PARTS = """
import json
import torch
from workbench.config import TEACHERS
from workbench.errors import PolicyError
from workbench.policy.teacher import teacher_side

def rows(teacher):
    side = teacher_side(policy, [prompt], [attempt.token_ids], teacher=teacher, rate=0.05, temperature=1.0)
    return side.logits(torch.arange(len(attempt.token_ids))).double().log_softmax(-1).tolist()

with Workbench.open("runs/steadied") as workbench:
    policy = workbench.policy
    attempt = workbench.attempts()[-1]
    prompt = workbench.teacher_prompt(attempt, config).ids
    parts = {name: rows(name) for name in ("live", "ema")}
    compared = workbench.compare(attempt, "teachers", config=config)
    try:
        workbench.check_credit(attempt)
    except PolicyError as error:
        refusal = str(error)
print(json.dumps({
    "parts": parts,
    "ids": attempt.token_ids,
    "scored": list(credit.contexts["teacher"]),
    "entropy": list(credit.entropy_teacher),
    "noise_floor": credit.noise_floor,
    "lift": [lift.student.total, lift.teacher.total],
    "rows": {row.name: row.how for row in compared.rows},
    "refusal": refusal,
}))
"""


def test_the_teacher_of_the_document_scores_as_its_formula_says(tmp_path: Path) -> None:
    package = copy_of_the_workbench(tmp_path / "copy")
    edits = blocks(HEADING, "diff")
    changed = {apply_diff(edit, package) for edit in edits}
    assert len(changed) == len(edits) == file_count(HEADING)
    (use,) = blocks(HEADING, "python")
    (tmp_path / "work").mkdir()
    shown = json.loads(run(use + PARTS, tmp_path / "work", package=package).splitlines()[-1])
    live, average = np.array(shown["parts"]["live"]), np.array(shown["parts"]["ema"])
    assert np.abs(live - average).max() > 1e-3  # the update has parted them
    mixed = (live + average) / 2
    mixed -= np.log(np.exp(mixed).sum(-1, keepdims=True))
    sampled = mixed[np.arange(len(mixed)), shown["ids"]]
    np.testing.assert_allclose(shown["scored"], sampled, rtol=0, atol=2e-5)
    np.testing.assert_allclose(shown["entropy"], -(np.exp(mixed) * mixed).sum(-1), rtol=0, atol=2e-5)
    assert shown["rows"]["steadied"].startswith("Half the policy as it is now")
    assert min(shown["lift"]) == 2 and "does not know the teacher 'steadied'" in shown["refusal"]
