"""Traps (docs/traps.md) that cross several parts; a part's own are in its own tests.

`pytest -k trap` runs them all. Each says what to remove to see it fail.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from policy_factory import make_model_dir, make_policy, nudge
from transformers import AutoModelForCausalLM, AutoTokenizer
from whole_logits import completion_logits

from workbench import Workbench
from workbench.config import LoraSettings, LoraVariant, PolicyConfig, SamplingConfig, SDPOConfig
from workbench.errors import PolicyError
from workbench.policy import Policy, load_policy
from workbench.policy.merging import export_merged
from workbench.policy.scoring import completion_places
from workbench.policy.teacher import teacher_side
from workbench.policy.update import UpdateItem, sdpo_step

PROMPT, TEACHER, ATTEMPT = (1, 40, 50, 60), (1, 40, 50, 60, 90, 91, 92), (60, 61, 62, 63, 0)
QUANTIZATIONS = ["none", "nf4", "int8"]


def logits_of(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return completion_logits(model, [PROMPT], [ATTEMPT], 1.0)[0][0]


def test_trap_01_06_a_round_scores_the_sampled_ids_at_their_temperature(tmp_path: Path) -> None:
    """A random model's attempts are no tokeniser's work: decoding them and tokenising again gives other ids. In
    `credit_of` and `update_item`, put the tokenised text in place of `attempt.token_ids`, or 1.0 in place of the
    attempt's temperature, to see it fail."""
    model = str(make_model_dir(tmp_path / "model"))
    few = SamplingConfig(temperature=0.6, max_new_tokens=12)
    with Workbench.open(tmp_path / "run", model=model, quantization="none", device="cpu") as workbench:
        attempts = workbench.attempt(workbench.add_task(prompt="Write f(xs): sort."), 4, sampling=few)
        tokenizer = workbench.policy.tokenizer
        again = [tuple(tokenizer(a.text, add_special_tokens=False)["input_ids"]) for a in attempts]
        assert all(ids != a.token_ids for ids, a in zip(again, attempts, strict=True))
        attempts = [workbench.give_feedback(a, "Sort descending.", 0.0) for a in attempts]
        for attempt in attempts:
            credit = workbench.credit(attempt)
            assert credit.token_ids == attempt.token_ids
            assert credit.contexts["student"] == pytest.approx(attempt.sampling_logps, abs=1e-4)
        before = {a.id: workbench.credit(a).contexts["student"] for a in attempts}
        report = workbench.update(attempts)
        for attempt in attempts:
            change = [
                new - old
                for new, old in zip(workbench.credit(attempt).contexts["student"], before[attempt.id], strict=True)
            ]
            assert report.realised[attempt.id] == pytest.approx(change, abs=1e-3)


@pytest.fixture(scope="module", params=QUANTIZATIONS)
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    policy = make_policy(tmp_path_factory.mktemp(request.param), hidden=64, quantization=request.param)
    nudge(policy, 0.05)
    return policy


def test_trap_12_merged_weights_come_from_a_fresh_base(policy: Policy, tmp_path: Path) -> None:
    """Put `policy.model` in place of `fresh.model` in `export_merged` to see it fail (and the policy changed)."""
    facts = policy.facts
    config = PolicyConfig(
        model=facts["model"], quantization=facts["quantization"], device="cpu", lora=LoraSettings(4, 8.0)
    )
    held = {name: tensor.clone() for name, tensor in policy.model.state_dict().items() if torch.is_tensor(tensor)}
    state, scores = policy.fingerprint(), logits_of(policy.bare)
    export_merged(policy, config, tmp_path / "merged")
    assert policy.fingerprint() == state and torch.equal(logits_of(policy.bare), scores)
    now = policy.model.state_dict()
    assert all(torch.equal(now[name], tensor) for name, tensor in held.items())

    expected = AutoModelForCausalLM.from_pretrained(facts["model"], dtype=torch.float32).eval()
    weights = dict(expected.named_parameters())
    for name, a in policy.adapter.items():
        if "lora_A" in name:
            weight = weights[name.removeprefix("base_model.model.").replace(".lora_A.default", "")]
            change = policy.adapter[name.replace("lora_A", "lora_B")].detach().double() @ a.detach().double()
            weight.data = (weight.data.double() + 8.0 / 4 * change).float()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    assert getattr(merged.config, "quantization_config", None) is None and merged.dtype == torch.float32
    torch.testing.assert_close(logits_of(merged), logits_of(expected), atol=1e-4, rtol=0)
    if facts["quantization"] == "nf4":
        assert (logits_of(merged) - scores).abs().max() > 1e-2  # the base in use is a rounded one
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert tokenizer.chat_template == policy.tokenizer.chat_template
    with pytest.raises(PolicyError, match="new or empty"):
        export_merged(policy, config, tmp_path / "merged")


def test_a_run_writes_its_policy_as_one_model(tmp_path: Path) -> None:
    model = str(make_model_dir(tmp_path / "model"))
    with Workbench.open(tmp_path / "run", model=model, quantization="nf4", device="cpu") as workbench:
        nudge(workbench.policy)
        merged = AutoModelForCausalLM.from_pretrained(workbench.export_merged(tmp_path / "merged")).eval()
    difference = (logits_of(merged) - logits_of(AutoModelForCausalLM.from_pretrained(model).eval())).abs().max()
    assert difference > 1e-2


def test_trap_14_both_sides_are_scored_in_eval_mode(policy: Policy) -> None:
    """Put `policy.model.train()` before the student's pass in the update, as trainers do, or leave out `.eval()` where
    the adapter is added, to see it fail."""
    seen: set[tuple[bool, bool]] = set()  # (with gradient, in train mode)
    hooks = [
        module.register_forward_pre_hook(lambda module, _: seen.add((torch.is_grad_enabled(), module.training)))
        for module in policy.model.modules()
    ]
    state = policy.state()
    try:
        sdpo_step(policy, [UpdateItem(PROMPT, TEACHER, ATTEMPT, 0.0, "g")], SDPOConfig(steps=1), 1.0)
    finally:
        for hook in hooks:
            hook.remove()
        policy.load_state(state)
    assert seen == {(True, False), (False, False)}
    student = completion_places(policy, [PROMPT], [ATTEMPT]).rows()
    teacher = teacher_side(policy, [PROMPT], [ATTEMPT], teacher="live", rate=1.0, temperature=1.0)
    assert student.requires_grad and torch.equal(student.detach(), teacher.hidden)


# DoRA on int8 layers is refused on the CPU.
@pytest.mark.parametrize(
    ("quantization", "variant"),
    [(q, v) for q in QUANTIZATIONS for v in get_args(LoraVariant) if (q, v) != ("int8", "dora")],
)
def test_trap_15_a_fresh_adapter_leaves_the_policy_equal_to_its_base(
    tmp_path: Path, quantization: str, variant: str
) -> None:
    """Bit for bit, for every variant that can be chosen. Set `init_lora_weights=False` in the LoRA configuration (or
    "olora", which also moves the base) to see it fail."""
    directory = make_model_dir(tmp_path, hidden=64)
    lora = LoraSettings(4, 8.0, variant)  # type: ignore[arg-type]
    policy = load_policy(PolicyConfig(model=str(directory), quantization=quantization, device="cpu", lora=lora))  # type: ignore[arg-type]
    adapted = logits_of(policy.bare)
    with policy.reference():
        assert torch.equal(logits_of(policy.bare), adapted)
    if quantization == "none":  # and the base is the model that was named
        plain = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
        assert torch.equal(logits_of(plain), adapted)
    nudge(policy)
    assert not torch.equal(logits_of(policy.bare), adapted)
