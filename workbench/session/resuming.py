"""The policy as a run's log has it, so that a reopened run continues exactly where it was.

First its settings, then its state: between two moves of the head only sampling changes the policy, and only its
random state.
"""

from __future__ import annotations

import platform
from contextlib import suppress
from dataclasses import asdict, replace

import torch

from workbench.config import LoraSettings, PolicyConfig
from workbench.errors import RunError
from workbench.policy import Policy
from workbench.policy.adapter import settings_of
from workbench.runs import Run

RANDOM = "random/sampling"
# The policy's facts that the "opened" event keeps: which model exactly, and how it is held.
RECORDED = (
    *("model", "revision", "commit", "content_sha256", "architecture", "quantization", "dtype", "attention"),
    *("lora", "adapter", "thinking", "system_turn", "device", "merged_sampling"),
)


def resumed(config: PolicyConfig, run: Run) -> PolicyConfig:
    """Settings with which to open a run: an existing run's own, wherever `config` leaves them at their defaults.

    Raises RunError where `config` asks for something else: a run's updates belong to the model, the quantisation and
    the adapter with which they were made.
    """
    made_with = run.state().opened
    if made_with is None:
        return config
    theirs = dict(made_with["config"]) | dict(made_with.get("policy", {}))
    _check(run, "the model", config.model, theirs["model"])
    if not run.events("root"):  # it was stopped before anything depended on the rest
        return config
    lora = settings_of(theirs)
    adapter = theirs.get("adapter")
    if config.adapter is not None:
        _check(run, "the adapter", config.adapter, adapter["path"] if adapter else None)
    elif config.lora != LoraSettings():
        _check(run, "the LoRA settings", config.lora, lora)
    for name, default in (("quantization", "auto"), ("thinking", None), ("revision", None)):
        requested = getattr(config, name)
        if requested not in (default, theirs.get("commit")) and name in theirs and theirs[name] != "auto":
            _check(run, name, requested, theirs[name])
    return replace(
        config,
        quantization=theirs["quantization"],
        lora=lora,
        adapter=None,  # what it brought is part of the run's first state
        thinking=theirs.get("thinking"),
        revision=theirs.get("commit") or theirs.get("revision"),
    )


def initialise_policy(policy: Policy, run: Run, config: PolicyConfig) -> None:
    """Put the policy where the log ends, or begin a new run with it: what it is, and its state before any update.

    Raises RunError when the model's files are no longer those that the run was made with.
    """
    if run.events("root"):
        _check_same_files(policy, run)
        restore_head(run)
        load_latest(policy, run)
        return
    made_with = {
        "config": asdict(config),
        "policy": {name: policy.facts[name] for name in RECORDED},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "seed": config.seed,
    }
    run.append("opened", made_with)
    run.commit_root(run.blobs.put(policy.state()))


def _check_same_files(policy: Policy, run: Run) -> None:
    made_with = run.state().opened
    theirs = {} if made_with is None else made_with.get("policy", {})
    for name in ("content_sha256", "commit"):
        if theirs.get(name) not in (None, policy.facts[name]):
            raise RunError(
                f"The files of the model {policy.facts['model']!r} have changed since the run in {run.path} was made, "
                "so its updates no longer belong to them; restore the original files, or choose another run directory."
            )


def _check(run: Run, what: str, requested: object, made_with: object) -> None:
    if requested != made_with:
        raise RunError(
            f"The run in {run.path} was made with {what} {made_with!r}, not {requested!r}; open it with that, or "
            "choose another run directory."
        )


def load_update(policy: Policy, run: Run, update_id: str, *, undone: str | None = None) -> None:
    """Put the policy where an update left it, bit for bit. Raises RunError, PolicyError, with nothing changed.

    `undone`: the update that is undone by going there. The random state is then the one before that update, not the
    one that the update before it left: what was sampled in between is not undone.
    """
    policy.load_state(run.blobs.get(run.state_blob(update_id)))
    if undone is not None:
        try:
            # An update draws nothing: what was saved with it is what was there before it.
            random = run.blobs.get(run.state_blob(undone))[RANDOM]
        except RunError:
            return  # the undone update is damaged; the head's own random state stays
        policy.generator.set_state(random)


def restore_head(run: Run) -> None:
    """Move the head out of an unfinished experiment, to where its "job" says it belongs.

    A move of the head after the opening at which the job was recorded as interrupted was a person's, and stays.
    """
    last = next((event for event in reversed(run.events("job")) if event.data.get("home")), None)
    if last is None or last.data["status"] != "interrupted" or run.timeline.last_event > last.id:
        return
    home = last.data["home"]
    if run.head != home:
        with suppress(RunError):  # that state is lost: the policy stays where the log ends
            run.state_blob(home)
            run.checkout(home)


def load_latest(policy: Policy, run: Run) -> None:
    """Put the policy where the log ends: at the head, with the random state after the last group of attempts.

    Raises RunError, PolicyError.
    """
    damaged = {event_id for event_id, _ in run.set_aside}
    timeline = run.timeline
    for event in reversed(run.events()):
        if event.id in damaged:
            continue
        if event.kind == "attempt" and event.blobs:
            if not run.usable(event.blobs[0]):
                continue
            load_update(policy, run, run.head)
            policy.generator.set_state(run.blobs.get(event.blobs[0])[RANDOM])
            return
        if event.kind == "head" and event.data["why"] == "undo" and timeline.position == timeline.head:
            load_update(policy, run, run.head, undone=timeline.left.get(timeline.head))
            return
        if event.kind in ("update", "head", "root"):
            break
    load_update(policy, run, run.head)
