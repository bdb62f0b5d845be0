"""The views: each formula against its own arithmetic in NumPy, its display facts, what it says where it lacks some."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from workbench.kernels.projection import given

from workbench.credit import CONTEXTS, VIEWS, TokenCredit, View, register_view
from workbench.credit.comparison import of_estimators
from workbench.credit.contexts import chosen
from workbench.credit.views import ANY
from workbench.errors import ConfigError, CreditError

T, V = 9, 12
CONTROLS = [name for name in CONTEXTS if name not in ("student", "teacher")]


def logits() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {name: 2 * torch.randn(T, V, generator=generator, dtype=torch.float64) for name in CONTEXTS}


def made(advantage: float | None = -0.25, only: tuple[str, ...] = tuple(CONTROLS)) -> TokenCredit:
    sides = logits()
    ids = list(range(T))
    return TokenCredit.from_sides(
        "a1",
        [f"w{i} " for i in ids],
        ids,
        given(sides["student"]),
        given(sides["teacher"]),
        {name: given(sides[name]) for name in only},
        noise_floor=1e-3,
        temperature=1.0,
        top_k=3,
        decode=str,
        absent={} if "wrong_feedback" in only else {"wrong_feedback": "no other attempt has feedback"},
        advantage=advantage,
    )


def expected(advantage: float) -> dict[str, np.ndarray]:
    """Every view from probabilities, without the credit's own numbers."""
    p = {name: np.exp(values.numpy()) for name, values in logits().items()}
    p = {name: rows / rows.sum(-1, keepdims=True) for name, rows in p.items()}
    own = {name: np.log(rows[np.arange(T), np.arange(T)]) for name, rows in p.items()}
    pi, q = p["student"], p["teacher"]
    middle = (pi + q) / 2
    raw = own["teacher"] - own["student"]
    kl = (pi * np.log(pi / q)).sum(-1)
    entropy = -(q * np.log(q)).sum(-1)
    sign = np.sign(advantage)
    return {
        "raw": raw,
        "centred": raw + kl,
        "divergence": kl,
        "jsd": ((pi * np.log(pi / middle)).sum(-1) + (q * np.log(q / middle)).sum(-1)) / 2,
        "entropy_student": -(pi * np.log(pi)).sum(-1),
        "entropy_teacher": entropy,
        "evidence": np.cumsum(raw),
        "contrastive": own["teacher"] - 0.1 * own["mismatched_question"] - own["student"],
        "control": raw - (own["template_only"] - own["student"]),
        "control_wrong": raw - (own["wrong_feedback"] - own["student"]),
        "rlsd": np.clip(np.exp(sign * raw), 0.8, 1.2),
        "srpo": np.exp(-entropy) / np.exp(-entropy).mean(),
        "grpo": np.full(T, advantage),
        "null": np.full(T, -1.0),
    }


@pytest.mark.parametrize("advantage", [-0.25, 0.75, 0.0])
def test_every_view_is_its_formula(advantage: float) -> None:
    credit, table = made(advantage), expected(advantage)
    assert table.keys() == VIEWS.keys() == set(credit.views())
    for name, values in table.items():
        np.testing.assert_allclose(credit.view(name), values, rtol=0, atol=1e-12, err_msg=name)


def test_the_evidence_curve_ends_at_the_pointwise_mutual_information() -> None:
    credit = made()
    information = sum(credit.contexts["teacher"]) - sum(credit.contexts["student"])
    assert credit.view("evidence")[-1] == pytest.approx(information, abs=1e-12)


def test_display_facts_hold_for_the_values() -> None:
    credit = made()
    for name, view in VIEWS.items():
        assert view.name == name and view.title and view.formula and view.how_to_read.endswith(".")
        assert view.range.low <= view.range.centre <= view.range.high
        assert all(view.range.low - 1e-12 <= value <= view.range.high + 1e-12 for value in credit.view(name))
    assert {name for name, view in VIEWS.items() if view.range.centre == 1.0} == {"rlsd", "srpo"}
    assert VIEWS["rlsd"].range.low == 0.8 and VIEWS["jsd"].range.high == math.log(2)
    unsigned = {"divergence", "jsd", "entropy_student", "entropy_teacher"}
    assert {name for name, view in VIEWS.items() if not view.signed} == unsigned


def test_a_view_without_its_context_says_which_and_is_not_offered() -> None:
    credit = made(advantage=None, only=())
    for name, says in {
        "control": "needs the context 'template_only', which was not scored; ask for it with contexts='template_only'",
        "contrastive": "needs the context 'mismatched_question', which was not scored",
        "control_wrong": "'wrong_feedback', which is absent: no other attempt has feedback.",
        "grpo": "needs the rewards of the attempt's group",
        "rlsd": "needs the rewards of the attempt's group",
    }.items():
        with pytest.raises(CreditError, match=says) as raised:
            credit.view(name)
        assert str(raised.value).endswith(".") and "\n" not in str(raised.value)
        assert name not in credit.views()
    offered = [view["name"] for view in credit.payload()["views"]]
    assert offered == credit.views() == [name for name in VIEWS if name in offered] and len(offered) == 9
    with pytest.raises(CreditError):
        credit.payload(view="control")


def test_the_payload_carries_the_display_facts() -> None:
    payload = json.loads(json.dumps(made().payload(view="rlsd"), allow_nan=False))
    views = {view["name"]: view for view in payload["views"]}
    assert views["raw"]["range"] == [None, None] and views["raw"]["centre"] == 0.0 and views["raw"]["signed"]
    assert views["rlsd"]["range"] == [0.8, 1.2] and views["rlsd"]["centre"] == 1.0 and views["rlsd"]["signed"]
    assert views["srpo"]["range"] == [0.0, None] and views["divergence"]["range"] == [0.0, None]
    assert not views["divergence"]["signed"] and views["jsd"]["range"] == [0.0, math.log(2)]
    assert {series["name"] for series in payload["numbers"]} >= {"template only", "wrong feedback", "entropy student"}


def test_large_credit_overflows_no_weight() -> None:
    credit = made(advantage=1.0)
    contexts = {**credit.contexts, "teacher": (0.0,) * T, "student": (-5000.0,) * T}
    assert dataclasses.replace(credit, contexts=contexts).view("rlsd") == (pytest.approx(1.2),) * T


def test_contexts_are_asked_for_by_name() -> None:
    assert chosen("all") == chosen(["all"]) == tuple(CONTEXTS)
    assert chosen(()) == ("student", "teacher") and chosen("base") == ("student", "teacher", "base")
    assert chosen(["answer_only", "template_only"]) == ("student", "teacher", "template_only", "answer_only")
    with pytest.raises(ConfigError, match="no context named 'rumour'; there are student, teacher, template_only"):
        chosen(["rumour", "base"])


def twice(**changes: Any) -> View:
    """A view from outside."""
    fields: dict[str, Any] = {
        "name": "twice",
        "title": "Twice the credit",
        "unit": "nats",
        "range": ANY,
        "formula": "2 A",
        "how_to_read": "Raw credit, doubled.",
        "compute": lambda scores: [2 * value for value in scores.credit_under("teacher")],
    }
    return View(**{**fields, **changes})


@pytest.fixture
def registered() -> Any:
    """Registers views, and takes them out of the registry after the test."""
    before = dict(VIEWS._added)
    yield register_view
    VIEWS._added.clear()
    VIEWS._added.update(before)


def test_a_registered_view_is_offered_wherever_credit_is_read(registered: Any) -> None:
    registered(twice())
    credit = made()
    assert list(VIEWS)[-1] == "twice" and credit.views()[-1] == "twice"
    assert credit.view("twice") == tuple(2 * value for value in credit.view("raw"))
    assert credit.payload()["views"][-1]["values"] == list(credit.view("twice"))
    row = of_estimators(credit).rows[-1]
    assert row.title == "Twice the credit" and row.noise_floor == credit.noise_floor


@pytest.mark.parametrize(
    ("view", "says"),
    [
        (twice(name="raw"), "There is a view named 'raw' already; give yours another name."),
        (twice(name="Twice it"), "cannot be named 'Twice it'; use small letters"),
        (twice(title=" "), "has no title"),
        (twice(compute=2), "has no formula"),
        (twice(range=dataclasses.replace(ANY, low=1.0)), "give low, centre and high in this order"),
        (twice(needs=("rumour",)), "needs the context 'rumour', which does not exist; there are student, teacher"),
        (lambda credit: (), "A view is a `View` of workbench.credit, not function"),
    ],
)
def test_a_view_that_cannot_be_registered_is_one_sentence(view: Any, says: str) -> None:
    before = list(VIEWS)
    with pytest.raises(ConfigError, match=says) as raised:
        register_view(view)
    assert str(raised.value).endswith(".") and "\n" not in str(raised.value)
    assert list(VIEWS) == before


@pytest.mark.parametrize(
    ("compute", "says"),
    [
        (lambda scores: scores.kl[:-1], "gave 8 numbers for 9 tokens"),
        (lambda scores: [math.nan] * len(scores.kl), "gave a number that is not finite"),
        (lambda scores: scores.nothing, "could not be computed .AttributeError: "),
        (lambda scores: ["a"] * len(scores.kl), "could not be computed .ValueError: "),
    ],
)
def test_a_faulty_view_is_a_sentence_and_the_others_are_read(registered: Any, compute: Any, says: str) -> None:
    registered(twice(compute=compute))
    credit = made()
    with pytest.raises(CreditError, match=says):
        credit.view("twice")
    assert "twice" not in credit.views() and len(credit.payload()["views"]) == len(VIEWS) - 1
    assert "twice" in of_estimators(credit).absent
