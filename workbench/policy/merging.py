"""Exporting model and adapter as one model, for programs that know no adapters. Knows nothing of runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from workbench.config import PolicyConfig
from workbench.errors import PolicyError
from workbench.policy.adapter import settings_of
from workbench.policy.loading import load_policy
from workbench.policy.policy import Policy


def export_merged(policy: Policy, config: PolicyConfig, path: Path) -> Path:
    """Write the model with the policy's adapter merged into its weights, in float32, with its tokenizer.

    The weights in use are not touched: merging into 4-bit weights would round them to 4 bits again, which changes the
    policy (trap 12). `config` (with which the policy was loaded) names the base model, which is loaded once more,
    unquantised, on the CPU. Raises PolicyError: no room for that, the model's files have changed meanwhile, or `path`
    is not a new or empty directory.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise PolicyError(f"The merged model cannot be written to {path}; choose a directory that is new or empty.")
    settings = replace(config, adapter=None, lora=settings_of(policy.facts))  # the state brings the adapter's weights
    revision = policy.facts["commit"] or config.revision
    fresh = load_policy(replace(settings, quantization="none", device="cpu", revision=revision))
    if fresh.facts["content_sha256"] != policy.facts["content_sha256"]:
        raise PolicyError(
            f"The files of the model {config.model!r} have changed since it was loaded, so the adapter no longer "
            "belongs to them; restore the former files."
        )
    fresh.load_state(policy.state())
    try:
        fresh.model.merge_and_unload(safe_merge=True).save_pretrained(str(path))
        fresh.tokenizer.save_pretrained(str(path))
    except OSError as error:
        raise PolicyError(
            f"The merged model cannot be written to {path} ({error.strerror}); free some space."
        ) from error
    return path
