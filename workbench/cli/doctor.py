"""What this machine can do: hardware, versions, the sandbox, and two checks of the policy's own arithmetic."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from workbench.cli.output import DeviceOption, JsonOption, ModelOption, Output
from workbench.config import PolicyConfig
from workbench.errors import SandboxError

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "gradio", "safetensors", "typer")
SAME_DIRECTION = 0.9999  # cosine of two gradients that should be the same


def doctor(model: ModelOption = "embedded", device: DeviceOption = "auto", as_json: JsonOption = False) -> None:
    """Check this machine and the policy on it."""
    from workbench.policy import load_policy
    from workbench.policy.selfcheck import gradient_check, hardware, null_test

    output = Output(as_json)
    null = null_test(load_policy(PolicyConfig(model, device=device)))
    report: dict[str, Any] = {
        "hardware": hardware(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "sandbox": _sandbox(),
        "null_test": {"credit_nats": null.credit, "noise_floor_nats": null.noise_floor, "ok": null.ok},
        "nf4_gradient": _nf4(model, device, load_policy, gradient_check),
    }
    rows = [(name, value) for part in ("hardware", "versions") for name, value in report[part].items()]
    output.table(
        "This machine",
        ("", "found"),
        [
            *rows,
            ("sandbox", report["sandbox"]),
            ("null test", f"{null.credit:.1e} nats, noise floor {null.noise_floor:.1e}: {_verdict(null.ok)}"),
            ("NF4 gradient", _said(report["nf4_gradient"])),
        ],
    )
    output.summary(report)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _sandbox() -> str:
    from workbench.tasks.sandbox import choose_tier

    try:
        return choose_tier()
    except SandboxError as error:
        return str(error)


def _nf4(model: str, device: str, load_policy: Any, gradient_check: Any) -> dict[str, Any]:
    """Whether gradients of a 4-bit policy survive a pass without gradient, or why that cannot be said here."""
    if _version("bitsandbytes") is None:
        return {"ok": None, "reason": "bitsandbytes is not installed"}
    try:
        cosine = gradient_check(load_policy(PolicyConfig(model, "nf4", device)))
    except Exception as error:  # whatever the library does on this hardware is what is reported here
        return {"ok": None, "reason": f"4-bit layers are not usable here ({error})"}
    return {"ok": cosine > SAME_DIRECTION, "cosine": cosine}


def _verdict(ok: bool) -> str:
    return "passed" if ok else "FAILED"


def _said(check: dict[str, Any]) -> str:
    if check["ok"] is None:
        return str(check["reason"])
    return f"cosine {check['cosine']:.6f} before and after a pass without gradient: {_verdict(check['ok'])}"
