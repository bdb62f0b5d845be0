"""The targets of an update against a second implementation: plain Python in double precision, token by token.

The second implementation follows the papers' formulas and shares no code with the first. No model is needed: logits
are drawn. Micro-batches are cut in two, so that what is a mean over the whole update is one over both.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from workbench.kernels.projection import given

from workbench.config import SDPOConfig
from workbench.credit import objective_push
from workbench.errors import ConfigError, NoSignalError
from workbench.policy.objective import MicroBatch, UpdateItem, distillation_of, make_plan, weigh_by_entropy

VOCABULARY = 7
KNOWN = (9, 9, 9)  # a teacher's prompt; what it says is in the drawn logits
CPU = torch.device("cpu")


def item(length: int, reward: float, *, informed: bool, group: str = "g", **changes: Any) -> UpdateItem:
    ids = tuple((3 * length + 5 * place) % VOCABULARY for place in range(length))
    return UpdateItem((1,), KNOWN if informed else None, ids, reward, group, passed=reward == 1.0, **changes)


ITEMS = [
    item(4, 0.0, informed=True),
    item(3, 1.0, informed=True),
    item(5, 0.0, informed=False),
    item(2, 1.0, informed=False),
    item(3, 0.5, informed=True, group="flat"),  # a group without reward signal
    item(2, 0.5, informed=False, group="flat"),  # no signal of any kind
    item(6, 0.25, informed=True, spans=((1, 3), (4, 5))),
]
Row = list[float]


def drawn(items: list[UpdateItem]) -> tuple[list[Tensor], list[Tensor]]:
    """(T_i, V) student and teacher logits of every item, float64."""
    generator = torch.Generator().manual_seed(5)
    sizes = [(len(one.token_ids), VOCABULARY) for one in items]

    def draw(size: tuple[int, int]) -> Tensor:
        return 1.5 * torch.randn(size, generator=generator, dtype=torch.float64)

    return [draw(size) for size in sizes], [draw(size) for size in sizes]


def got(items: list[UpdateItem], config: SDPOConfig) -> tuple[dict[tuple[int, int], float], dict[int, Row], float]:
    """(item, place) -> loss of each token that counts; item -> gradient of their mean; the largest error of a push."""
    student, teacher = drawn(items)
    leaves = [one.clone().requires_grad_() for one in student]
    plan = make_plan(items, config)
    middle = len(plan.used) // 2
    batches = []
    for chunk in (plan.used[:middle], plan.used[middle:]):
        routes = [plan.routes[i] for i in chunk]
        taught = [teacher[i][items[i].counts()] for i, way in zip(chunk, routes, strict=True) if way.taught]
        batches.append(
            MicroBatch(
                [items[i] for i in chunk],
                routes,
                plan.advantages[list(chunk)],
                given(torch.cat(taught)) if taught else None,
                config,
                CPU,
            )
        )
    weigh_by_entropy(batches, config)
    losses: dict[tuple[int, int], float] = {}
    total, error = torch.zeros((), dtype=torch.float64), 0.0
    for batch, chunk in zip(batches, (plan.used[:middle], plan.used[middle:]), strict=True):
        places = [(i, t) for i in chunk for t in items[i].counts().nonzero()[:, 0].tolist()]
        rows = torch.stack([leaves[i][t] for i, t in places])  # (N, V)
        logps = torch.log_softmax(rows, -1).gather(-1, batch.token_ids.unsqueeze(-1)).squeeze(-1)
        targets = batch.targets(logps)
        # All at once and in any pieces: the loss is a function of rows.
        everything, row_losses = torch.arange(len(rows)), batch.row_losses(targets)
        logits = None if batch.teacher is None else batch.teacher.logits(everything)
        values = row_losses(rows, logits, everything)
        for piece in everything.split(2):
            torch.testing.assert_close(
                row_losses(rows[piece], None if logits is None else logits[piece], piece), values[piece]
            )
        losses |= {place: value.item() for place, value in zip(places, values.detach(), strict=True)}
        total = total + values.sum()
        known = None if logits is None else logits[targets.distilled]
        push = objective_push(rows.detach(), known, targets, distillation_of(config))
        (slope,) = torch.autograd.grad(values.sum(), rows, retain_graph=True)
        expected = -slope.gather(-1, batch.token_ids.unsqueeze(-1)).squeeze(-1)
        error = max(error, float((push - expected).abs().max()))
    gradients = torch.autograd.grad(total / len(losses), leaves, allow_unused=True)
    return losses, {i: one.flatten().tolist() for i, one in enumerate(gradients) if one is not None}, error


def softmax(row: Row) -> Row:
    powers = [math.exp(value - max(row)) for value in row]
    return [power / sum(powers) for power in powers]


def brute_force(items: list[UpdateItem], config: SDPOConfig) -> dict[tuple[int, int], float]:
    """The loss of each token that counts, full_logits and reverse KL, by the formulas of the papers."""
    student, teacher = ([softmax(row) for row in one.tolist()] for one in (torch.cat(side) for side in drawn(items)))
    starts = [sum(len(one.token_ids) for one in items[:i]) for i in range(len(items))]
    means = {
        group: sum(one.reward for one in items if one.group_id == group) / sum(one.group_id == group for one in items)
        for group in ("g", "flat")
    }
    kinds: dict[tuple[int, int], tuple[str, float]] = {}  # -> (which loss, teacher's entropy)
    values: dict[tuple[int, int], float] = {}
    for i, one in enumerate(items):
        advantage = one.reward - means[one.group_id]
        rewarded = one.group_id == "g"
        informed = one.teacher_prompt_ids is not None
        selected = [t for t in range(len(one.token_ids)) if one.spans is None or any(a <= t < b for a, b in one.spans)]
        for t in selected:
            p, q, y = student[starts[i] + t], teacher[starts[i] + t], one.token_ids[t]
            kl = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
            grpo = -advantage * math.log(p[y])
            credit = math.log(q[y] / p[y])
            if config.method == "sdpo" and informed:
                values[i, t] = kl
            elif config.method == "grpo" and rewarded:
                values[i, t] = grpo
            elif config.method == "blend" and (informed or rewarded):
                share = config.grpo_weight
                values[i, t] = (share * grpo if rewarded else 0.0) + ((1 - share) * kl if informed else 0.0)
            elif config.method == "srpo" and informed and one.reward < 1.0:
                kinds[i, t] = ("sdpo", -sum(b * math.log(b) for b in q))
                values[i, t] = kl
            elif config.method == "srpo" and rewarded:
                values[i, t] = grpo
            elif config.method == "rlsd" and rewarded:
                low, high = 1 - config.evidence_clip, 1 + config.evidence_clip
                sign = (advantage > 0) - (advantage < 0)
                values[i, t] = grpo * (min(max(math.exp(sign * credit), low), high) if informed else 1.0)
    if kinds:
        raw = {place: math.exp(-config.entropy_beta * entropy) for place, (_, entropy) in kinds.items()}
        mean = sum(raw.values()) / len(raw)
        values |= {place: values[place] * weight / mean for place, weight in raw.items()}
    return values


@pytest.mark.parametrize("method", ["sdpo", "grpo", "blend", "srpo", "rlsd"])
def test_every_method_equals_the_formulas_of_its_paper(method: str) -> None:
    """Fails when SRPO's mean is taken per micro-batch, when a token outside of a span or an attempt without signal

    counts, when RLSD's sign or clip is lost, or when an attempt without a teacher is dropped by blend, SRPO or RLSD.
    """
    config = SDPOConfig(method=method, distillation_mode="full_logits", grpo_weight=0.7)  # type: ignore[arg-type]
    losses, _, error = got(ITEMS, config)
    expected = brute_force(ITEMS, config)
    assert losses.keys() == expected.keys() and len(losses) > 10
    for place, value in expected.items():
        assert losses[place] == pytest.approx(value, abs=1e-12), place
    assert error < 1e-9


def test_the_gradient_is_that_of_the_mean_over_the_tokens_that_count() -> None:
    """Finite differences of the second implementation, on the attempt with a span."""
    config = SDPOConfig(method="sdpo", distillation_mode="full_logits")
    _, gradients, _ = got(ITEMS, config)
    student, teacher = drawn(ITEMS)
    count = len(brute_force(ITEMS, config))
    q = torch.softmax(teacher[6], -1)

    def loss(logits: Tensor) -> float:
        p = torch.softmax(logits, -1)
        return float(((p * (p / q).log()).sum(-1) * ITEMS[6].counts()).sum()) / count

    for place in range(6):
        for v in range(VOCABULARY):
            step = torch.zeros_like(student[6])
            step[place, v] = 1e-5
            slope = (loss(student[6] + step) - loss(student[6] - step)) / 2e-5
            assert gradients[6][place * VOCABULARY + v] == pytest.approx(slope, abs=1e-8)
            assert place in (1, 2, 4) or slope == 0.0


def test_sequence_takes_the_mean_over_the_selected_tokens() -> None:
    config = SDPOConfig(distillation_mode="sequence")
    losses, _, error = got(ITEMS, config)
    student, teacher = drawn(ITEMS)
    places = [1, 2, 4]
    p, q = (
        [math.log(softmax(side[6].tolist()[t])[ITEMS[6].token_ids[t]]) for t in places] for side in (student, teacher)
    )
    mean = sum(b - a for a, b in zip(p, q, strict=True)) / 3
    assert [losses[6, t] for t in places] == pytest.approx([-mean * value for value in p])
    assert error < 1e-9


def test_the_ends_of_the_blend_are_its_two_parents() -> None:
    for weight, parent in ((0.0, "sdpo"), (1.0, "grpo")):
        blend = got(ITEMS, SDPOConfig(method="blend", grpo_weight=weight, distillation_mode="full_logits"))
        alone = got(ITEMS, SDPOConfig(method=parent, distillation_mode="full_logits"))  # type: ignore[arg-type]
        assert blend[0] == pytest.approx(alone[0])


def test_importance_weights_of_the_first_pass_and_of_later_ones() -> None:
    """The first pass settles `old`; a later one weighs by how far the policy has moved, unless asked not to."""
    config = SDPOConfig(distillation_mode="full_logits", is_clip=1.5)
    one = item(3, 0.0, informed=True, old_logps=(-1.0, -2.0, -3.0))
    silent = given(torch.zeros(3, VOCABULARY))
    batch = MicroBatch([one], make_plan([one], config).routes, torch.zeros(1), silent, config, CPU)
    first = torch.tensor([-1.0, -2.5, -2.0], dtype=torch.float64)
    weights = batch.targets(first).importance_weights
    assert weights.tolist() == pytest.approx([1.0, math.exp(-0.5), 1.5])
    later = torch.tensor([-0.9, -2.0, -4.0], dtype=torch.float64)
    moved = batch.targets(later).importance_weights
    assert moved.tolist() == pytest.approx([math.exp(0.1), 1.0, math.exp(-1.0)])
    assert batch.targets(later, first_weights=True).importance_weights.tolist() == pytest.approx(weights.tolist())


def test_rlsd_keeps_the_weights_of_the_first_pass() -> None:
    """As GRPO's advantages, they belong to the policy that sampled."""
    config = SDPOConfig(method="rlsd", is_clip=None)
    pair = [item(2, 1.0, informed=True), item(2, 0.0, informed=False)]
    plan = make_plan(pair, config)
    batch = MicroBatch(pair, plan.routes, plan.advantages, given(torch.zeros(2, VOCABULARY)), config, CPU)
    first = batch.targets(torch.full((4,), -math.log(VOCABULARY) - 0.1))
    assert first.advantages.tolist() == pytest.approx([0.5 * math.exp(0.1)] * 2 + [-0.5] * 2)
    assert batch.targets(torch.full((4,), -9.0)).advantages.tolist() == first.advantages.tolist()


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("sdpo", "none has feedback or a demonstration; give"),
        ("grpo", "all rewards of each group are equal"),
        ("rlsd", "all rewards of each group are equal"),
        ("blend", "none has feedback or a demonstration, and all rewards"),
        ("srpo", "none has feedback or a demonstration, and all rewards"),
    ],
)
def test_what_is_missing_is_said(method: str, words: str) -> None:
    with pytest.raises(NoSignalError, match=words):
        make_plan([item(2, 0.0, informed=False), item(3, 0.0, informed=False)], SDPOConfig(method=method))  # type: ignore[arg-type]


def test_nothing_selected_is_no_signal_and_a_span_outside_is_refused() -> None:
    with pytest.raises(NoSignalError):
        make_plan([item(3, 0.0, informed=True, spans=())], SDPOConfig())
    with pytest.raises(ConfigError, match="not within an attempt of 3 tokens"):
        make_plan([item(3, 0.0, informed=True, spans=((1, 4),))], SDPOConfig())
