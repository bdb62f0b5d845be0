"""SDPO in one file, in plain tensors: reinforcement learning with rich feedback by self-distillation.

    python examples/sdpo_loop.py    # under a minute on a CPU; every round attempts tasks that it has never seen

Paper: arXiv 2601.20802; the formulas, and where the workbench has each: docs/algorithm.md. The workbench provides only
what is not the algorithm: a small policy with a LoRA adapter, the chat template, the tasks, and their judge, which runs
each attempt in a sandbox. tests/test_sdpo_loop.py holds (in float64) that `update` moves every adapter tensor to within
1e-5 of where `Workbench.update` moves it. Departures from the paper:

- Scale: a 3.9 M parameter Qwen 3 on toy programming tasks, float32, one device, TASKS x GROUP attempts per round.
- Only the adapter is trained, hence a learning rate of 1e-3 (the paper, which trains all weights: 1e-6); no warm-up.
- STEPS optimiser steps per update on the same attempts; the paper takes one. The importance weights that this calls
  for are those of the paper's code: old log-probabilities come from the first scoring pass, not from the sampler.
- The teacher is the trust region, one of the paper's three regularised ones, with the adapter switched off as its
  reference; the paper's settings name the moving average. RHO = 0 is the frozen teacher, RHO = 1 the live one.
- A passed attempt is never shown to itself as the solution (so does the paper's code; its Table 2 says otherwise). An
  attempt with neither feedback nor a solution is left out, so that it does not dilute the mean.
- Left out: the advantage clip (test time only), `<think>` sections and shortened prompts (this policy needs neither),
  and what the workbench adds: an end by KL, not after STEPS, undo, micro-batches, logits of a few rows at a time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).resolve().parents[1]))  # in a checkout the workbench need not be installed

from workbench.config import PolicyConfig
from workbench.policy import Policy, load_policy
from workbench.policy.chat import Chat
from workbench.records import Judgement, Task
from workbench.tasks import judge_many
from workbench.tasks.house_rules.pack import house_tasks

ROUNDS, TASKS, GROUP = 8, 2, 8  # each round: 2 new tasks, 8 attempts at each
MAX_NEW_TOKENS, TEMPERATURE = 96, 1.0
TOP_K, RHO, IS_CLIP = 20, 0.5, 2.0  # compared tokens; the live policy's share in the teacher; limit of the weights
STEPS, LEARNING_RATE, WEIGHT_DECAY, MAX_GRAD_NORM = 8, 1e-3, 0.01, 1.0

Ids = tuple[int, ...]
Example = tuple[Ids, Ids, Ids]  # student's prompt, teacher's prompt, the attempt


@torch.no_grad()
def sample(policy: Policy, prompt: Ids) -> list[Ids]:
    """Draw GROUP attempts y ~ pi(. | x): temperature 1, no top-k, no top-p; a sampled end token is kept."""
    ids = torch.tensor([prompt] * GROUP)
    attempts: list[list[int]] = [[] for _ in range(GROUP)]
    cache = None
    for _ in range(MAX_NEW_TOKENS):
        out = policy.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache, probabilities = out.past_key_values, (out.logits[:, -1] / TEMPERATURE).softmax(-1)
        ids = torch.multinomial(probabilities, 1, generator=policy.generator)  # (G, 1)
        for attempt, token_id in zip(attempts, ids.flatten().tolist(), strict=True):
            if not attempt or attempt[-1] not in policy.eos_ids:
                attempt.append(token_id)
        if all(attempt[-1] in policy.eos_ids for attempt in attempts):
            break
    return [tuple(attempt) for attempt in attempts]


def teacher_question(question: str, index: int, texts: list[str], verdicts: list[Judgement]) -> str | None:
    """Ask the self-teacher about one attempt: with its feedback, and another attempt of the group that passed."""
    others = [text for i, text in enumerate(texts) if i != index and verdicts[i].passed]
    others.sort(key=lambda text: text == texts[index])  # prefer one that differs: a copy would only confirm
    solution = f"\nCorrect solution:\n\n{others[0].strip()}\n\n" if others else ""
    feedback = "" if verdicts[index].passed else verdicts[index].feedback.strip()
    if feedback:
        feedback = f"\nThe following is feedback from your unsuccessful earlier attempt:\n\n{feedback}\n\n"
    ending = "\n\nCorrectly solve the original question.\n"
    return question + solution + feedback + ending if solution or feedback else None


def score(policy: Policy, prompts: list[Ids], attempts: list[Ids]) -> torch.Tensor:
    """Logits (N, V) that predict the attempts' N tokens, each attempt after its own prompt."""
    rows = [torch.tensor(prompt + attempt) for prompt, attempt in zip(prompts, attempts, strict=True)]
    # Padded on the right, where a causal model never looks.
    logits = policy.model(input_ids=torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)).logits / TEMPERATURE
    spans = [(len(prompt) - 1, len(prompt) + len(y) - 1) for prompt, y in zip(prompts, attempts, strict=True)]
    return torch.cat([row[start:end] for row, (start, end) in zip(logits, spans, strict=True)])


def with_tail(logps: torch.Tensor) -> torch.Tensor:
    """Append log(1 - sum p), the rest of the vocabulary as one outcome: (N, K) -> (N, K + 1)."""
    return torch.cat([logps, (-torch.expm1(logps.logsumexp(-1, keepdim=True).clamp(max=-1e-7))).log()], dim=-1)


def distillation_loss(
    student: torch.Tensor, teacher: torch.Tensor, token_ids: torch.Tensor, old_logps: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean over the N tokens of KL(pi || sg q) on the student's top K and the tail, nats; and log pi(y_t), (N,)."""
    pi, q = student.log_softmax(-1), teacher.log_softmax(-1)  # (N, V)
    top = pi.topk(TOP_K, dim=-1).indices  # (N, K): of the student; the teacher is asked about the same ids
    head, target = with_tail(pi.gather(-1, top)), with_tail(q.gather(-1, top))
    divergence = (head.exp() * (head - target)).sum(-1)  # (N,) nats
    logps = pi.gather(-1, token_ids.unsqueeze(-1)).squeeze(-1).detach()  # (N,)
    weights = (logps - (logps if old_logps is None else old_logps)).clamp(-20, 20).exp().clamp(max=IS_CLIP)
    return (weights * divergence).mean(), logps


def update(policy: Policy, optimizer: torch.optim.Optimizer, examples: list[Example]) -> tuple[float, float]:
    """Take STEPS optimiser steps toward a teacher fixed beforehand; return the loss at the first and at the last."""
    prompts, teacher_prompts, attempts = (list(column) for column in zip(*examples, strict=True))
    token_ids = torch.tensor([token_id for attempt in attempts for token_id in attempt])  # (N,)
    with torch.no_grad():  # log q = (1 - rho) log q_ref + rho log pi(. | x, feedback), up to a constant per row
        with policy.reference():  # the adapter switched off
            reference = score(policy, teacher_prompts, attempts)
        teacher = (1 - RHO) * reference + RHO * score(policy, teacher_prompts, attempts)
    losses, old_logps = [], None
    for _ in range(STEPS):
        loss, logps = distillation_loss(score(policy, prompts, attempts), teacher, token_ids, old_logps)
        old_logps = logps if old_logps is None else old_logps
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        losses.append(loss.item())
    return losses[0], losses[-1]


def attempt_and_judge(policy: Policy, task: Task) -> tuple[list[Example], list[Judgement]]:
    """Sample one group of attempts at a task and judge them; the examples are those that carry a signal."""
    chat = Chat(policy.tokenizer)
    prompt = chat.render(task.system, task.prompt)[1]
    attempts = sample(policy, prompt)
    texts = [policy.tokenizer.decode(attempt, skip_special_tokens=True) for attempt in attempts]
    verdicts = judge_many([(task, text) for text in texts])
    examples = []
    for index, attempt in enumerate(attempts):
        if question := teacher_question(task.prompt, index, texts, verdicts):
            examples.append((prompt, chat.render(task.system, question)[1], attempt))
    return examples, verdicts


def main() -> None:
    """Attempt, judge, learn; one line per round."""
    torch.set_num_threads(1)  # the policy is so small that threads would mostly wait for each other
    policy = load_policy(PolicyConfig(model="embedded", device="cpu", seed=0))
    optimizer = torch.optim.AdamW(policy.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    tasks = house_tasks("house-rules", ROUNDS * TASKS, held_out=False)
    for number in range(ROUNDS):
        groups = [attempt_and_judge(policy, task) for task in tasks[number * TASKS : (number + 1) * TASKS]]
        passed = [verdict.passed for _, verdicts in groups for verdict in verdicts]
        line = f"round {number + 1:2}: {sum(passed):2} of {len(passed)} attempts passed"
        if examples := [example for examples, _ in groups for example in examples]:
            before, after = update(policy, optimizer, examples)
            line += f"; learned from {len(examples)}, loss {before:.3f} -> {after:.3f} nats per token"
        print(line, flush=True)


if __name__ == "__main__":
    main()
