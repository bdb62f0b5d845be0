"""The worked example of a view in docs/extending.md is executed as it stands there."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
from extending import blocks, file_count, run

HEADING = "A new view"
SHOWN = """
import json
payload = credit.payload()
rows = {row.name: row.title for row in workbench_compare.rows}
print(json.dumps({
    "contexts": {name: list(values) for name, values in credit.contexts.items()},
    "changes": list(changes),
    "views": credit.views(),
    "drawn": next(view for view in payload["views"] if view["name"] == "probability"),
    "rows": rows,
}))
"""


def test_the_view_of_the_document_is_its_formula_and_is_offered_everywhere(tmp_path: Path) -> None:
    module, use = blocks(HEADING, "python")
    assert file_count(HEADING) == 1
    (tmp_path / "probability_view.py").write_text(module, encoding="utf-8")
    compared = "from workbench.credit.comparison import of_estimators\nworkbench_compare = of_estimators(credit)\n"
    shown = json.loads(run(use + compared + SHOWN, tmp_path).splitlines()[-1])
    teacher, student = (np.array(shown["contexts"][name]) for name in ("teacher", "student"))
    np.testing.assert_allclose(shown["changes"], np.exp(teacher) - np.exp(student), rtol=0, atol=1e-12)
    assert np.abs(shown["changes"]).max() > 1e-6  # something was said of the attempt
    assert shown["views"][-1] == "probability" and shown["rows"]["probability"] == "Change of probability"
    assert shown["drawn"]["values"] == shown["changes"] and shown["drawn"]["range"] == [-1.0, 1.0]
    assert "Change of probability" in (tmp_path / "probabilities.html").read_text(encoding="utf-8")


def test_the_entry_point_of_the_document_names_the_view() -> None:
    (declared,) = blocks(HEADING, "toml")
    points = tomllib.loads(declared)["project"]["entry-points"]["sdpo_workbench.views"]
    assert points == {"probability": "probability_view:PROBABILITY"}
    assert "PROBABILITY = View(" in blocks(HEADING, "python")[0]
