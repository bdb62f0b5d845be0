"""`TokenCredit` from two sides: its numbers, views, alternatives, sentences, and the ways out of it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from workbench.kernels.projection import given

from workbench.credit import TokenCredit, token_credit
from workbench.credit.divergence import divergence
from workbench.errors import PolicyError

SIDES = ("student", "teacher")
WORDS = ("sorted", "(", "xs", ", reverse", ")", "\n", "`", "<b>")


def decode(token_id: int) -> str:
    return WORDS[token_id]


def made(tokens: int = 5, *, seed: int = 0, base: bool = True, **changes: Any) -> TokenCredit:
    generator = torch.Generator().manual_seed(seed)
    student, teacher, other = (2 * torch.randn(tokens, len(WORDS), generator=generator) for _ in range(3))
    ids = torch.randint(len(WORDS), (tokens,), generator=generator).tolist()
    options: dict[str, Any] = {"noise_floor": 0.01, "temperature": 1.0, "top_k": 3, "decode": decode} | changes
    words = [decode(token_id) for token_id in ids]
    others = {"base": given(other)} if base else {}
    return TokenCredit.from_sides("a1", words, ids, given(student), given(teacher), others, **options)


def from_probabilities(ids: list[int], student: list[list[float]], teacher: list[list[float]], **changes: Any) -> Any:
    logits = [torch.tensor(side, dtype=torch.float64).log() for side in (student, teacher)]
    options: dict[str, Any] = {"noise_floor": 0.01, "temperature": 1.0, "top_k": 3, "decode": decode} | changes
    return TokenCredit.from_sides("a1", [decode(i) for i in ids], ids, *map(given, logits), {}, **options)


def test_numbers_equal_those_of_the_credit_functions() -> None:
    generator = torch.Generator().manual_seed(3)
    student, teacher, base = (torch.randn(6, 8, generator=generator, dtype=torch.float64) for _ in range(3))
    ids = torch.tensor([0, 1, 2, 3, 4, 5])
    credit = TokenCredit.from_sides(
        "a",
        list("abcdef"),
        ids.tolist(),
        given(student),
        given(teacher),
        {"base": given(base)},
        noise_floor=0.0,
        temperature=0.7,
        decode=decode,
    )
    torch.testing.assert_close(
        torch.tensor(credit.view("raw"), dtype=torch.float64), token_credit(student, teacher, ids)
    )
    for name, logits in {"student": student, "teacher": teacher, "base": base}.items():
        expected = torch.distributions.Categorical(logits=logits).log_prob(ids)
        torch.testing.assert_close(torch.tensor(credit.contexts[name], dtype=torch.float64), expected)
    p, q = (torch.distributions.Categorical(logits=logits) for logits in (student, teacher))
    kl = torch.distributions.kl_divergence(p, q)
    torch.testing.assert_close(torch.tensor(credit.kl, dtype=torch.float64), kl)
    torch.testing.assert_close(torch.tensor(credit.entropy_teacher, dtype=torch.float64), q.entropy())
    assert max(credit.jsd) <= math.log(2) and credit.temperature == 0.7


def test_views_are_arithmetic_on_the_stored_numbers() -> None:
    credit = made()
    raw = [t - s for t, s in zip(credit.contexts["teacher"], credit.contexts["student"], strict=True)]
    assert credit.view("raw") == tuple(raw)
    assert credit.view("centred") == tuple(a + kl for a, kl in zip(raw, credit.kl, strict=True))
    assert credit.view("divergence") == credit.kl and min(credit.kl) >= 0
    with pytest.raises(KeyError, match="raw, centred, divergence"):
        credit.view("colour")


def test_top_is_the_union_of_both_sides_and_the_tail_is_the_rest() -> None:
    credit = from_probabilities(
        [3],
        [[0.01, 0.02, 0.02, 0.7, 0.2, 0.02, 0.02, 0.01]],
        [[0.3, 0.02, 0.02, 0.001, 0.6, 0.019, 0.03, 0.01]],
        top_k=2,
    )
    top = credit.top(0)
    assert [(token.text, token.id) for token in top] == [(", reverse", 3), (")", 4), ("sorted", 0)]
    assert [token.student for token in top] == pytest.approx([0.7, 0.2, 0.01])
    assert [token.teacher for token in top] == pytest.approx([0.001, 0.6, 0.3])
    assert top[0].student_logp == pytest.approx(math.log(0.7))
    assert credit.tail(0) == (pytest.approx(0.09), pytest.approx(0.099))
    for position in (-1, 1):
        with pytest.raises(IndexError, match="1 tokens"):
            credit.top(position)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_the_push_is_the_gradient_over_the_listed_tokens_and_the_rest(alpha: float) -> None:
    """Against autograd on the same buckets, as an update with top-K and a tail forms them."""
    credit = made(top_k=2)
    for position in range(5):
        listed = credit.top(position)
        sides = [[*(getattr(t, side) for t in listed), credit.tail(position)[k]] for k, side in enumerate(SIDES)]
        student, teacher = (torch.tensor(side, dtype=torch.float64).log() for side in sides)
        logits = student.clone().requires_grad_()
        divergence(logits.log_softmax(-1), teacher, alpha).backward()
        assert credit.push(position, alpha) == pytest.approx((-logits.grad).tolist(), abs=1e-6)
        assert sum(credit.push(position, alpha)) == pytest.approx(0.0, abs=1e-9)


def test_summary_says_what_is_largest() -> None:
    calm = [0.9] + [0.1 / 7] * 7
    student = [0.01, 0.01, 0.01, 0.71, 0.23, 0.01, 0.01, 0.01]
    teacher = [0.002, 0.002, 0.002, 0.001, 0.987, 0.002, 0.002, 0.002]
    credit = from_probabilities([0, 0, 3], [calm, calm, student], [calm, calm, teacher])
    assert credit.summary() == (
        "The teacher disagrees most at token 3 (`, reverse`): it gives .001 where the student gave .71, "
        "and would write `)`. 100 % of the credit is on 1 of 3 tokens."
    )
    turned = from_probabilities([4], [student], [teacher])
    assert "it gives .99 where the student gave .23, and would write it too." in turned.summary()


def test_summary_below_the_noise_floor_and_without_tokens() -> None:
    same = [[0.125] * 8] * 4
    slightly = [[0.126, 0.124] + [0.125] * 6] * 4
    quiet = from_probabilities([0, 1, 2, 3], same, slightly, noise_floor=0.05)
    assert quiet.summary() == "Nothing here is above the noise floor (0.05 nats)."
    assert from_probabilities([0, 1, 2, 3], same, slightly, noise_floor=0.001).summary().startswith("The teacher")
    assert from_probabilities([2, 2, 2, 2], same, same, noise_floor=0.0).summary().startswith("Nothing")
    assert made(0).summary() == "This attempt has no tokens."


@pytest.mark.parametrize(("tokens", "base"), [(5, True), (3, False), (0, True)])
def test_json_round_trip(tokens: int, base: bool) -> None:
    credit = made(tokens, base=base)
    assert TokenCredit.from_json(credit.to_json()) == credit
    assert TokenCredit.from_json(json.loads(json.dumps(credit.to_json(), allow_nan=False))) == credit
    with pytest.raises(TypeError):
        TokenCredit.from_json({**credit.to_json(), "colour": "red"})


def test_payload_is_what_the_heatmap_reads() -> None:
    credit = made()
    payload = json.loads(json.dumps(credit.payload(title="Attempt 3", view="centred"), allow_nan=False))
    assert payload["title"] == "Attempt 3" and payload["view"] == "centred" and payload["noise_floor"] == 0.01
    assert [token["text"] for token in payload["tokens"]] == list(credit.tokens)
    assert {view["name"]: tuple(view["values"]) for view in payload["views"]} == {
        name: credit.view(name) for name in credit.views()
    }
    numbers = {series["name"]: tuple(series["values"]) for series in payload["numbers"]}
    assert numbers["base"] == credit.contexts["base"] and numbers["kl"] == credit.kl
    assert [i for line in payload["lines"] for i in line] == list(range(5))
    first = payload["top"][0]
    assert first["ids"] == [token.id for token in credit.top(0)] and first["texts"][0] == credit.top(0)[0].text
    assert first["student"] == [*(token.student for token in credit.top(0)), credit.tail(0)[0]]
    assert first["push"] == list(credit.push(0))
    with pytest.raises(KeyError):
        credit.payload(view="colour")


def test_html_is_a_page_with_the_numbers_and_can_be_written(tmp_path) -> None:
    credit = made(4)
    page = credit.to_html(tmp_path / "credit.html", theme="dark")
    assert (tmp_path / "credit.html").read_text(encoding="utf-8") == page
    assert page.lower().startswith("<!doctype html>") and 'data-theme="dark"' in page
    assert f"{credit.view('raw')[0]:.6g}" in page and "Raw credit" in page
    frame = credit._repr_html_()
    assert f"{credit.view('raw')[0]:.6g}" in frame and frame.startswith('<iframe sandbox="allow-scripts"')


def test_numbers_that_are_not_finite_are_refused_with_a_sentence() -> None:
    logits = torch.zeros(2, 8)
    broken = logits.clone()
    broken[1] = math.nan
    with pytest.raises(PolicyError, match=r"Attempt a1 cannot be scored: teacher is not a finite number"):
        TokenCredit.from_sides(
            "a1",
            ["x", "y"],
            [0, 1],
            given(logits),
            given(broken),
            {},
            noise_floor=0.0,
            temperature=1.0,
            decode=decode,
        )


def test_ids_ruled_out_by_a_side_stay_out_of_the_alternatives() -> None:
    credit = from_probabilities([0], [[0.5, 0.5] + [0.0] * 6], [[0.25, 0.75] + [0.0] * 6], top_k=8)
    assert {token.id for token in credit.top(0)} == {0, 1}
    json.dumps(credit.to_json(), allow_nan=False)


def test_lengths_must_match() -> None:
    with pytest.raises(ValueError, match="tokens has 1 entries for 2"):
        TokenCredit.from_sides(
            "a", ["x"], [0, 1], *[given(torch.zeros(2, 8))] * 2, {}, noise_floor=0, temperature=1, decode=decode
        )


def test_importing_credit_loads_no_model_library_and_no_page() -> None:
    heavy = "[name for name in ('torch', 'transformers', 'gradio', 'workbench.heatmap') if name in m]"
    code = f"import workbench.credit, sys; m = sys.modules; print({heavy})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
