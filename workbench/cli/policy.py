"""The options that say which policy a command works on: the fields of `PolicyConfig`, its LoRA settings among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any

import typer

from workbench.cli.settings import Command, names, takes
from workbench.config import MODEL_NAMES, LoraSettings, LoraVariant, PolicyConfig, Quantization, Switch

ALL_LINEAR = "all-linear"

# Field of PolicyConfig -> its option; a name with "lora_" in front is a field of LoraSettings.
POLICY_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "model": Annotated[str, typer.Option(help=f"{MODEL_NAMES}.")],
        "revision": Annotated[str | None, typer.Option(help="Branch, tag or commit of the hub model.")],
        "quantization": Annotated[
            str, typer.Option(help=f"One of {names(Quantization)}; auto is nf4 on CUDA and none elsewhere.")
        ],
        "device": Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")],
        "seed": Annotated[int, typer.Option(help="Seed of a new run's adapter and sampling.")],
        "adapter": Annotated[
            str | None, typer.Option(help="Directory of a PEFT adapter to start from; it brings its own LoRA settings.")
        ],
        "thinking": Annotated[
            bool | None,
            typer.Option(
                "--thinking/--no-thinking", help="The chat template's thinking mode; default: the template's own."
            ),
        ],
        "gradient_checkpointing": Annotated[
            str, typer.Option(help=f"One of {names(Switch)}; auto: only where memory would be short without it.")
        ],
        "lora_rank": Annotated[int, typer.Option(help="Rank of a new adapter.")],
        "lora_alpha": Annotated[
            float, typer.Option(help="The adapter's scale is alpha / rank; with rslora alpha / sqrt(rank).")
        ],
        "lora_variant": Annotated[str, typer.Option(help=f"One of {names(LoraVariant)}.")],
        "lora_target_modules": Annotated[
            str,
            typer.Option(
                help=f"{ALL_LINEAR}, or comma-separated names of layers or their endings, such as q_proj,v_proj."
            ),
        ],
    }
)
_LORA = LoraSettings()
POLICY_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {name: value for name, value in PolicyConfig().arguments().items() if name != "lora"}
    | {
        "lora_rank": _LORA.rank,
        "lora_alpha": _LORA.lora_alpha,
        "lora_variant": _LORA.variant,
        "lora_target_modules": _LORA.target_modules,
    }
)


def policy_config(
    *, lora_rank: int, lora_alpha: float, lora_variant: str, lora_target_modules: str, **settings: Any
) -> PolicyConfig:
    """Build the settings that the options name. Raises ConfigError."""
    modules = [name.strip() for name in lora_target_modules.split(",") if name.strip()]
    targets = ALL_LINEAR if modules == [ALL_LINEAR] else tuple(modules)
    lora = LoraSettings(lora_rank, lora_alpha, lora_variant, targets)  # type: ignore[arg-type]  # checks itself
    return PolicyConfig(lora=lora, **settings)


def takes_policy(*, without: tuple[str, ...] = ()) -> Callable[[Command], Command]:
    """Give a command the options of a policy, as its `policy: PolicyConfig`; a bad value raises ConfigError.

    `without`: options that the command does not offer; their defaults hold.
    """
    options = {name: option for name, option in POLICY_OPTIONS.items() if name not in without}

    def build(**values: Any) -> PolicyConfig:
        return policy_config(**{**POLICY_DEFAULTS, **values})

    return takes("policy", options, POLICY_DEFAULTS, build)
