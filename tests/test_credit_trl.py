"""Cross-checks with a peer: TRL 1.16's loss functions, and its SDPOTrainer step for step on a small model.

The trainer keeps its loss, its teacher, its prompts and its optimiser; only its sampling is replaced, so that both
sides learn from the same completions. What cannot be matched, and what is done instead:

- Its feedback is a static column of the data set: one text for all attempts at a question, given to successes too.
  The attempts here share their feedback, or have a demonstration only.
- Its loss is the mean over the attempts of each attempt's mean; the published one is the mean over all active tokens.
  They agree where all attempts are equally long. Attempts that its teacher knows nothing of stay in the outer mean
  and dilute it, which the test on demonstrations shows as a factor.
- Its EMA teacher starts from zero factors, which is neither the student nor, once B and A move, an average of what
  the adapter does; it has no trust region. So the teachers here are `base` (our `frozen`) and `live`.
- Its policy-gradient loss is written with the ratio pi / pi_old, whose value differs from -A log pi and whose
  gradient, on the first step, is the same; with several steps it clips on both sides where SDPO's weight is clipped
  above. The parameters are compared, after one step.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_factory import make_model_dir, nudge
from torch import Tensor

from workbench.config import LoraSettings, PolicyConfig, SDPOConfig
from workbench.credit import Distillation, sdpo_loss
from workbench.credit.loss import distillation_losses
from workbench.policy import Policy, load_policy
from workbench.policy.prompts import student_prompt, teacher_prompt
from workbench.policy.update import UpdateItem, sdpo_step
from workbench.records import Task

trl = pytest.importorskip("trl", reason="the peer is not installed: pip install -r requirements-dev.txt")
loss_utils = pytest.importorskip("trl.experimental.sdpo.loss_utils", reason="this TRL has no SDPO")

QUESTION, FEEDBACK = "Sort descending, then take 3.", "f([3, 7, 4]) returned 3, expected 7"
VOCABULARY = 19
quick = settings(max_examples=30, deadline=None)


# Loss functions ------------------------------------------------------------------------------------------------------
@quick
@given(
    st.integers(0, 10_000),
    st.sampled_from(["full_logits", "topk_logits", "sampled_token"]),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    st.sampled_from([1, 5, VOCABULARY - 1]),
    st.booleans(),
    st.booleans(),
)
def test_loss_functions(seed: int, mode: str, alpha: float, topk: int, tail: bool, weighted: bool) -> None:
    """Value and gradient of each token's loss, float64."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (3.0 * torch.randn(2, 6, VOCABULARY, generator=generator).double() for _ in range(2))
    ids = torch.randint(VOCABULARY, (2, 6), generator=generator)
    old = -4.0 * torch.rand(2, 6, generator=generator).double()
    alpha = 1.0 if mode == "sampled_token" else alpha
    ours, theirs = student.clone().requires_grad_(), student.clone().requires_grad_()
    weights: dict[str, Any] = {"is_clip": 2.0, "old_logps": old} if weighted else {}
    _, mine = sdpo_loss(
        ours,
        teacher,
        ids,
        torch.ones(2, 6),
        distillation_mode=mode,
        distillation_alpha=alpha,
        distillation_topk=topk,
        distillation_add_tail=tail,
        **weights,
    )
    if mode == "full_logits":
        peer = loss_utils.compute_full_logit_self_distillation_loss(theirs, teacher, distillation_alpha=alpha)
    elif mode == "topk_logits":
        peer = loss_utils.compute_topk_self_distillation_loss(
            theirs, teacher, distillation_topk=topk, distillation_alpha=alpha, distillation_add_tail=tail
        )
    else:
        peer = loss_utils.compute_sampled_token_self_distillation_loss(theirs, teacher, ids, distillation_alpha=alpha)
    if weighted:
        logps = torch.log_softmax(theirs, -1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
        peer = loss_utils.apply_importance_sampling_clipping(peer, logps, old, 2.0)
    factors = torch.randn(2, 6, generator=generator).double()  # so that no two tokens' gradients can cancel
    (mine * factors).sum().backward()
    (peer * factors).sum().backward()
    # Where a tail has a mass of about 1e-7 its logarithm is at the edge of double precision, on either side.
    torch.testing.assert_close(mine, peer, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-8, atol=1e-8)


def test_rows_alone_are_the_batch() -> None:
    """`distillation_losses`, which the update uses, is what `sdpo_loss` says of the same tokens."""
    generator = torch.Generator().manual_seed(1)
    student, teacher = (torch.randn(8, VOCABULARY, generator=generator).double() for _ in range(2))
    ids = torch.zeros(8, dtype=torch.long)
    peer = loss_utils.compute_topk_self_distillation_loss(
        student, teacher, distillation_topk=5, distillation_alpha=0.5, distillation_add_tail=True
    )
    torch.testing.assert_close(distillation_losses(student, teacher, ids, Distillation(alpha=0.5, topk=5)), peer)


# The trainer ---------------------------------------------------------------------------------------------------------
LENGTH, ATTEMPTS, RATE = 9, 4, 1e-3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_dir(tmp_path_factory.mktemp("peer"), hidden=64)


@pytest.fixture
def policy(model: Path) -> Policy:
    config = PolicyConfig(str(model), "none", "cpu", LoraSettings(rank=4, lora_alpha=8.0))
    loaded = load_policy(config)
    nudge(loaded, 0.02)  # so that the student is not the base
    return loaded


def completions(policy: Policy) -> list[list[int]]:
    generator = torch.Generator().manual_seed(3)
    # No end and no thought among them: what each side makes of those is not what is compared.
    return torch.randint(5, len(policy.tokenizer) - 2, (ATTEMPTS, LENGTH), generator=generator).tolist()


def peer_step(
    policy: Policy, model: Path, folder: Path, *, feedback: str | None, rewards: list[float], **options: Any
) -> tuple[Any, dict[str, Tensor], dict[str, Tensor]]:
    """One step of SDPOTrainer from the policy's weights on the same completions: trainer, gradients, parameters."""
    import datasets
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl.experimental.sdpo import SDPOConfig as PeerConfig
    from trl.experimental.sdpo import SDPOTrainer

    policy.model.save_pretrained(str(folder / "adapter"))
    base = AutoModelForCausalLM.from_pretrained(str(model), dtype=torch.float32)
    student = PeftModel.from_pretrained(base, str(folder / "adapter"), is_trainable=True)
    written = completions(policy)

    class SameCompletions(SDPOTrainer):
        def _generate(self, prompt_ids: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
            assert len(prompt_ids) == ATTEMPTS
            self.asked = prompt_ids
            return prompt_ids, written

    gradients: dict[str, Tensor] = {}

    class Watch(TrainerCallback):
        def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:  # after the clip of the gradient's norm
            gradients.update({n: p.grad.clone() for n, p in student.named_parameters() if p.grad is not None})

    row: dict[str, Any] = {"prompt": [{"role": "user", "content": QUESTION}]}
    if feedback is not None:
        row["privileged_context"] = feedback
    arguments = PeerConfig(
        output_dir=str(folder / "peer"),
        max_steps=1,
        per_device_train_batch_size=ATTEMPTS,
        num_generations=ATTEMPTS,
        max_completion_length=LENGTH,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        weight_decay=0.01,
        max_grad_norm=1.0,
        optim="adamw_torch",
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_steps=1,
        distillation_is_clip=2.0,
        scale_rewards="none",
        include_environment_feedback=feedback is not None,
        use_successful_as_teacher=feedback is None,
        remove_thinking_from_demonstration=True,  # also strips white space, as here
        **options,
    )
    trainer = SameCompletions(
        model=student,
        reward_funcs=lambda completions, **_: rewards,
        args=arguments,
        train_dataset=datasets.Dataset.from_list([row]),
        processing_class=AutoTokenizer.from_pretrained(str(model)),
        callbacks=[Watch()],
    )
    trainer.train()
    moved = {name: p.detach().clone() for name, p in student.named_parameters() if p.requires_grad}
    return trainer, gradients, moved


def our_items(policy: Policy, rewards: list[float], teacher_prompts: list[tuple[int, ...] | None]) -> list[UpdateItem]:
    asked = student_prompt(policy, Task("peer/q", QUESTION, "person")).ids
    written = completions(policy)
    return [
        UpdateItem(asked, teacher, tuple(ids), reward, "g")
        for ids, reward, teacher in zip(written, rewards, teacher_prompts, strict=True)
    ]


def compare(
    policy: Policy, items: list[UpdateItem], config: SDPOConfig, temperature: float, peer: tuple[Any, Any, Any]
) -> tuple[float, float, float]:
    """Our step from the same weights; (our loss, largest gradient error, largest parameter error) against the peer's.

    Gradient errors are relative to the largest gradient, parameter errors to the learning rate, which is about what
    AdamW's first step moves each parameter by.
    """
    _, gradients, moved = peer
    adapter = {name: p for name, p in policy.model.named_parameters() if p.requires_grad}
    assert adapter.keys() == moved.keys()
    result = sdpo_step(policy, items, dataclasses.replace(config, steps=1, learning_rate=RATE), temperature)
    # After one step the first moment is a tenth of the clipped gradient.
    ours = {name: 10.0 * policy.optimizer.state[p]["exp_avg"] for name, p in adapter.items()}
    size = max(float(one.abs().max()) for one in gradients.values())
    gradient = max(float((ours[name] - gradients[name]).abs().max()) for name in ours) / size
    # AdamW divides by the gradient's own size: where that is rounding, so is the step.
    solid = {name: gradients[name].abs() > 1e-4 * size for name in ours}
    parameter = max(
        float((p.detach() - moved[name]).abs()[solid[name]].max()) / RATE
        for name, p in adapter.items()
        if solid[name].any()
    )
    return result.loss_before, gradient, parameter


CASES: list[tuple[str, dict[str, Any], SDPOConfig, float]] = [
    (
        "top-k with tail, base teacher",
        {"distillation_mode": "topk_logits", "distillation_topk": 20, "distillation_add_tail": True,
         "teacher_model_kind": "base"},
        SDPOConfig(teacher="frozen"),
        1.0,
    ),
    (
        "JSD of all logits, live teacher, temperature",
        {"distillation_mode": "full_logits", "distillation_alpha": 0.5, "teacher_model_kind": "live"},
        SDPOConfig(distillation_mode="full_logits", distillation_alpha=0.5, teacher="live"),
        0.7,
    ),
    (
        "sampled token, base teacher",
        {"distillation_mode": "sampled_token", "teacher_model_kind": "base"},
        SDPOConfig(distillation_mode="sampled_token", teacher="frozen"),
        1.0,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_one_step_of_the_trainer(policy: Policy, model: Path, tmp_path: Path, case: tuple[Any, ...]) -> None:
    """Same prompts, same loss, same gradient, same parameters after the step."""
    _, options, config, temperature = case
    rewards = [0.0] * ATTEMPTS
    peer = peer_step(policy, model, tmp_path, feedback=FEEDBACK, rewards=rewards, temperature=temperature, **options)
    trainer = peer[0]
    known = teacher_prompt(policy, Task("peer/q", QUESTION, "person"), feedback=FEEDBACK).ids
    batch = trainer._buffered_inputs[0]
    items = our_items(policy, rewards, [known] * ATTEMPTS)
    assert [list(item.prompt_ids) for item in items] == trainer.asked
    assert batch["teacher_input_ids"][:, :-LENGTH].tolist() == [list(known)] * ATTEMPTS
    loss, gradient, parameter = compare(policy, items, config, temperature, peer)
    theirs = next(entry["self_distillation/distillation_loss"] for entry in trainer.state.log_history
                  if "self_distillation/distillation_loss" in entry)  # fmt: skip
    assert loss == pytest.approx(theirs, rel=1e-5, abs=1e-6)
    assert gradient < 1e-5 and parameter < 1e-3


@pytest.mark.parametrize(("weight", "method"), [(1.0, "grpo"), (0.6, "blend")])
def test_the_reward_s_part_of_a_step(policy: Policy, model: Path, tmp_path: Path, weight: float, method: Any) -> None:
    """GRPO without division by the standard deviation, and Eq. 3's blend; its `distillation_weight` is 1 - lambda."""
    rewards = [0.0, 1.0, 0.25, 0.0]
    peer = peer_step(
        policy,
        model,
        tmp_path,
        feedback=FEEDBACK,
        rewards=rewards,
        distillation_weight=1.0 - weight,
        distillation_mode="full_logits",
        teacher_model_kind="base",
    )
    known = teacher_prompt(policy, Task("peer/q", QUESTION, "person"), feedback=FEEDBACK).ids
    config = SDPOConfig(method=method, grpo_weight=weight, distillation_mode="full_logits", teacher="frozen")
    scaled = [reward / (1.0 + 1e-4) for reward in rewards]  # it divides by a standard deviation of 1, plus 1e-4
    items = our_items(policy, scaled, [known] * ATTEMPTS)
    _, gradient, parameter = compare(policy, items, config, 1.0, peer)
    assert gradient < 1e-5 and parameter < 1e-3


def test_a_demonstration_and_the_dilution_of_its_mean(policy: Policy, model: Path, tmp_path: Path) -> None:
    """The success has no other success to learn from: here it leaves the mean, there it stays in it as a zero."""
    rewards = [0.0, 1.0, 0.0, 0.0]
    options = {"distillation_mode": "full_logits", "teacher_model_kind": "base"}
    peer = peer_step(policy, model, tmp_path, feedback=None, rewards=rewards, **options)
    shown = policy.tokenizer.decode(completions(policy)[1], skip_special_tokens=True)
    known = teacher_prompt(policy, Task("peer/q", QUESTION, "person"), feedback="", demonstration=shown).ids
    batch = peer[0]._buffered_inputs[0]
    taught = [0, 2, 3]
    width = batch["teacher_input_ids"].shape[1] - LENGTH
    assert width == len(known) and batch["self_distillation_mask"].tolist() == [1.0, 0.0, 1.0, 1.0]
    assert [batch["teacher_input_ids"][i, :width].tolist() for i in taught] == [list(known)] * 3
    items = our_items(policy, rewards, [known if i in taught else None for i in range(ATTEMPTS)])
    config = SDPOConfig(distillation_mode="full_logits", teacher="frozen")
    loss, _, _ = compare(policy, items, config, 1.0, peer)
    logged = next(entry for entry in peer[0].state.log_history if "loss" in entry)
    assert logged["self_distillation/distillation_loss"] == pytest.approx(loss, rel=1e-5)
    assert logged["loss"] == pytest.approx(0.75 * loss, abs=2e-4)  # four decimals are logged
