"""One round on a random model of any size, its phases timed and their memory recorded. Runs on a CPU just as well.

The weights are drawn on the device and written in shards, so that a model of several thousand million weights needs
neither a download nor the memory of the host.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from model_families import FAMILIES, make_family_tokenizer
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, Qwen3Config

from workbench import Workbench
from workbench.config import SamplingConfig, SDPOConfig
from workbench.policy.selfcheck import hardware, held, null_test

# The shape of the 4B model of its family, and a tiny one for the same code.
QWEN3_4B = {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32}
QWEN3_4B |= {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 40960}
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY |= {"num_key_value_heads": 2, "head_dim": 16, "vocab_size": 1000, "max_position_embeddings": 512}


class Recorder:
    """Seconds and peak memory of named phases."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.phases: dict[str, dict[str, float]] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        cuda = self.device.type == "cuda"
        if cuda:
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        started = time.perf_counter()
        yield
        if cuda:
            torch.cuda.synchronize(self.device)
        seconds = time.perf_counter() - started
        peak = torch.cuda.max_memory_allocated(self.device) if cuda else _resident("VmHWM")
        now = torch.cuda.memory_allocated(self.device) if cuda else _resident("VmRSS")
        self.phases[name] = {"seconds_s": seconds, "peak_bytes": peak, "held_bytes": now}
        print(f"{name}: {seconds:.1f} s, {peak / 1e9:.2f} GB at most", flush=True)


def _resident(name: str) -> int:
    """Memory of this process by /proc; on a CPU the peak is that of the process so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def write_random_model(path: Path, shape: dict[str, int], device: torch.device, shard_bytes: int = 2 * 10**9) -> int:
    """Write a random bf16 Qwen3 of this shape with tokenizer and template; returns the bytes of its weights."""
    path.mkdir(parents=True)
    tokenizer = make_family_tokenizer(FAMILIES["qwen3"], shape["vocab_size"])
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    config = Qwen3Config(
        **shape, tie_word_embeddings=True, eos_token_id=end, bos_token_id=None, pad_token_id=0, dtype="bfloat16"
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    config.architectures = ["Qwen3ForCausalLM"]
    config.save_pretrained(path)
    model.generation_config.save_pretrained(path)
    tokenizer.save_pretrained(path)
    generator = torch.Generator(device=device).manual_seed(0)
    shard: dict[str, torch.Tensor] = {}
    places: dict[str, str] = {}
    total = size = 0

    def flush() -> None:
        name = f"model-{len(set(places.values())) + 1:05d}.safetensors"
        save_file(shard, path / name, metadata={"format": "pt"})
        places.update(dict.fromkeys(shard, name))
        shard.clear()

    for name, parameter in model.named_parameters():  # a tied head is there once
        values = torch.empty(parameter.shape, dtype=torch.bfloat16, device=device)
        shard[name] = (
            values.fill_(1.0).cpu() if values.ndim == 1 else values.normal_(0.0, 0.02, generator=generator).cpu()
        )
        total, size = total + values.nbytes, size + values.nbytes
        if size >= shard_bytes:
            flush()
            size = 0
    if shard:
        flush()
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return total


def record_round(
    model: Path, run: Path, *, quantization: str, device: torch.device, attempts: int, max_new_tokens: int
) -> dict[str, Any]:
    """Load, sample, credit, update, undo and check; what each took, and what was predicted of it."""
    recorder = Recorder(device)
    with recorder.phase("load"):
        workbench = Workbench.open(run, model=str(model), quantization=quantization, device=str(device))
    with workbench:
        policy, config = workbench.policy, SDPOConfig(learning_rate=1e-3, steps=1)
        task = workbench.add_task(prompt="Write f(xs): sort, then take 3.", environment="person", system="Be brief.")
        with recorder.phase("sample"):
            group = workbench.attempt(task, attempts, sampling=SamplingConfig(max_new_tokens=max_new_tokens))
        group = [workbench.give_feedback(one, text="Sort descending.", reward=0.0) for one in group]
        with recorder.phase("credit"):
            credit = workbench.credit(group[0], config)
        before = policy.state()
        with recorder.phase("update"):
            report = workbench.update(group, config)
        with recorder.phase("undo"):
            workbench.undo()
        after = policy.state()
        with recorder.phase("null test"):
            null = null_test(policy)
        tokens = sum(len(one.token_ids) for one in group)
        return {
            "hardware": hardware(),
            "policy": policy.facts,
            "attempts": attempts,
            "tokens": tokens,
            "tokens_per_s": tokens / recorder.phases["sample"]["seconds_s"],
            "phases": recorder.phases,
            "held": {part.kind: {"layers": part.layers, "bytes": part.size_bytes} for part in held(policy)},
            "credit_nats": {"noise_floor": credit.noise_floor, "largest": max(map(abs, credit.view("raw")))},
            "loss_nats": {"before": report.loss_before, "after": report.loss},
            "undo_is_exact": all(torch.equal(value, before[name]) for name, value in after.items()),
            "null_test": {"ok": null.ok, "credit_nats": null.credit, "noise_floor_nats": null.noise_floor},
        }
