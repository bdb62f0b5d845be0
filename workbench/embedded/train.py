"""Train the embedded policy from scratch, on the CPU, resumably: `python -m workbench.embedded.train`.

Warm-up, a plateau, then a linear decay of the learning rate over the last `--decay` steps: the plateau can be
continued for as long as there is time, or resumed from the published weights (`--from-weights`). Muon for matrices,
AdamW for the rest; loss on the answer, and a little on the outputs in failed examples; no padding mask, because right
padding is harmless to a causal model. Every `--every` steps the state is saved under `--out` and a line is added to
its log; the finished weights go to `weights/` in half precision.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

from workbench.embedded.corpus import Corpus
from workbench.embedded.tokenizer import CONTEXT, train_tokenizer

WEIGHTS = Path(__file__).parent / "weights"
WIDTHS = (72, 96, 112, 128, 160, 192, 256, 512)  # batches are padded to one of these: few shapes to compile
# The outputs of programs in failed examples are learned a little as well: inferring a convention from examples needs
# running it forward, and there are many such tokens to learn from.
OUTPUTS = re.compile(r"(?:returned|expected) (\[[^\]]*\]|-?\d+)")
OUTPUT_WEIGHT = 0.1
BATCHES_AT_ONCE = 16  # this many batches are drawn together and sorted by length, so that there is little padding
MUON_RATE, ADAMW_RATE = 3e-3, 2e-3


@dataclass(frozen=True, slots=True)
class Row:
    """One pair as token ids, with the weight of predicting the token after each."""

    kind: str
    token_ids: list[int]
    weights: list[float]


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids (B, W) and the weight (B, W) of predicting the *next* token at each position.

    1 for the answer, `OUTPUT_WEIGHT` for what programs return in failed examples, 0 elsewhere.
    """

    kinds: list[str]  # B, of the corpus
    token_ids: torch.Tensor
    weights: torch.Tensor


def build_model(tokenizer: PreTrainedTokenizerBase) -> Qwen3ForCausalLM:
    """A small Qwen3 with random weights (tied embeddings, grouped-query attention)."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        attention_dropout=0.0,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config)


class Batches:
    """Batches of the corpus, sorted by length within a draw of several batches."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, batch_size: int, seed: int) -> None:
        self._corpus = Corpus(seed)
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._order = torch.Generator().manual_seed(seed)
        self._ready: list[list[Row]] = []

    def _encode(self, step: int) -> list[Row]:
        pairs = [self._corpus.draw(step) for _ in range(self._batch_size * BATCHES_AT_ONCE)]
        texts = [f"<|user|>{pair.prompt}<|end|><|assistant|>{pair.answer}<|end|>" for pair in pairs]
        answers = self._tokenizer([f"{pair.answer}<|end|>" for pair in pairs])["input_ids"]
        whole = self._tokenizer(texts, return_offsets_mapping=True)
        encoded = zip(pairs, texts, whole["input_ids"], whole["offset_mapping"], answers, strict=True)
        return sorted(
            (
                Row(pair.kind, ids, _next_weights(text, offsets, len(answer)))
                for pair, text, ids, offsets, answer in encoded
            ),
            key=lambda row: len(row.token_ids),
        )

    def next(self, step: int) -> Batch:
        """The next batch; rows are drawn as the corpus draws them at `step`."""
        if not self._ready:
            rows = self._encode(step)
            order = torch.randperm(BATCHES_AT_ONCE, generator=self._order).tolist()
            self._ready = [rows[i * self._batch_size : (i + 1) * self._batch_size] for i in order]
        rows = self._ready.pop()
        longest = max(len(row.token_ids) for row in rows)
        width = next(width for width in WIDTHS if width >= longest)
        token_ids = torch.full((len(rows), width), self._tokenizer.pad_token_id)
        weights = torch.zeros(len(rows), width)
        for number, row in enumerate(rows):
            token_ids[number, : len(row.token_ids)] = torch.tensor(row.token_ids)
            weights[number, : len(row.weights)] = torch.tensor(row.weights)
        return Batch([row.kind for row in rows], token_ids, weights)


def _next_weights(text: str, offsets: list[tuple[int, int]], answer_length: int) -> list[float]:
    """The weight of predicting, at each position, the token after it."""
    weights = [0.0] * len(offsets)
    for match in OUTPUTS.finditer(text):
        for position, (start, end) in enumerate(offsets):
            if start < match.end(1) and end > match.start(1):
                weights[position] = OUTPUT_WEIGHT
    weights[-answer_length:] = [1.0] * answer_length
    return [*weights[1:], 0.0]


def weighted_loss(model: Qwen3ForCausalLM, hidden: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss to minimise, cross-entropy of each whole answer (B,) in nats); `hidden` (B, W, H)."""
    counted = batch.weights > 0
    targets, weights = batch.token_ids.roll(-1, dims=1)[counted], batch.weights[counted]
    nats = torch.nn.functional.cross_entropy(model.lm_head(hidden[counted].float()), targets, reduction="none")
    answer = weights == 1.0
    rows = counted.nonzero()[:, 0][answer]
    answers = torch.zeros(len(batch.kinds)).index_add(0, rows, nats.detach()[answer])
    return (weights * nats).sum() / answer.sum(), answers


def build_optimizers(model: Qwen3ForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=MUON_RATE, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=ADAMW_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def schedule(step: int, first: int, steps: int, decay: int, warmup: int = 100) -> float:
    """Factor on the learning rate; the warm-up begins at step `first`, the decay ends at step `steps`."""
    return min(1.0, (step - first + 1) / warmup, max(0.02, (steps - step) / max(decay, 1)))


def save(path: Path, model: Qwen3ForCausalLM, optimizers: list[torch.optim.Optimizer], step: int) -> None:
    """A checkpoint that training can resume from, replaced as a whole."""
    state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step}
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def publish(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, directory: Path = WEIGHTS) -> None:
    """The weights in half precision, in the layout of any hub model."""
    half = Qwen3ForCausalLM(model.config).half()
    half.load_state_dict({name: tensor.to(torch.float16) for name, tensor in model.state_dict().items()})
    half.generation_config = GenerationConfig(
        do_sample=True, temperature=1.0, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    half.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/embedded"))
    parser.add_argument("--steps", type=int, default=4_600, help="optimiser steps in all")
    parser.add_argument("--decay", type=int, default=1_000, help="steps of the final decay")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--from-weights", type=int, default=0, metavar="STEP", help="continue from weights/, the result of STEP steps"
    )
    return parser.parse_args()


def main() -> None:
    """Trains; goes on from the checkpoint in `--out` where there is one."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    if (WEIGHTS / "tokenizer.json").exists():
        tokenizer = AutoTokenizer.from_pretrained(WEIGHTS)
    else:
        tokenizer = train_tokenizer(seed=options.seed)
        tokenizer.save_pretrained(WEIGHTS)
    model = build_model(tokenizer)
    optimizers = build_optimizers(model)
    checkpoint, step = options.out / "checkpoint.pt", options.from_weights
    if step:
        model.load_state_dict(Qwen3ForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32).state_dict())
    if checkpoint.exists():
        state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step = state["step"]
    # Attention written out and compiled, in bf16, gives 2.0 times the tokens a second of fused attention in fp32. The
    # layers share one compiled form for each width of a batch.
    model.set_attn_implementation("eager")
    torch._dynamo.config.recompile_limit = 2 * len(WIDTHS)
    for layer in model.model.layers:
        layer.compile(dynamic=False)
    batches = Batches(tokenizer, options.batch, options.seed + 1_000_003 * step)
    nats: dict[str, list[float]] = {}
    tokens, started = 0, time.monotonic()
    while step < options.steps:
        factor = schedule(step, options.from_weights, options.steps, options.decay)
        for optimizer, rate in zip(optimizers, (MUON_RATE, ADAMW_RATE), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        batch = batches.next(step)
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model.model(batch.token_ids, use_cache=False).last_hidden_state
        loss, answers = weighted_loss(model, hidden, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        tokens += batch.token_ids.numel()
        for kind, value in zip(batch.kinds, answers.tolist(), strict=True):
            nats.setdefault(kind, []).append(value)
        if step % options.every == 0 or step == options.steps:
            means = {kind: round(sum(values) / len(values), 4) for kind, values in sorted(nats.items())}
            speed = round(tokens / (time.monotonic() - started))
            line = {"step": step, "nats_per_answer": means, "tokens_per_s": speed}
            print(json.dumps(line), flush=True)
            with (options.out / "log.jsonl").open("a", encoding="utf-8", newline="\n") as log:
                log.write(json.dumps(line) + "\n")
            save(checkpoint, model, optimizers, step)
            nats, tokens, started = {}, 0, time.monotonic()
    publish(model, tokenizer)


if __name__ == "__main__":
    main()
