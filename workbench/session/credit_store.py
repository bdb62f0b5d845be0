"""Stored credit: one event of kind "credit" with one blob, enough to recompute it.

The event's data is what the scores depend on; the prompts' ids and the scores themselves are in the blob:
    credit    {"attempt_id", "update_id", "temperature", "teacher", "teacher_update_rate", "noise_floor",
               "contexts": [name, ...], "prompts_sha256", "absent": {name: reason}, "advantage": float | null}
    tensors   prompt/<context> (S,) int32, token_ids (T,) int32, logps/<context>, kl, jsd, entropy_* (T,) float32,
              top/ids (T, K) int32 padded with -1, top/student_logps, top/teacher_logps (T, K) float32
    metadata  {"tokens": [display text, ...], "texts": {id: display text}, "teacher_prompt": text}
`update_id` names the state of the adapter under which all of it was scored. Knows nothing of models.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.config import Teacher
from workbench.credit import TokenCredit, TopToken
from workbench.credit.scores import QUANTITIES
from workbench.errors import RunError
from workbench.runs import Event, Run

KIND = "credit"


@dataclass(frozen=True, slots=True)
class Basis:
    """Inputs of a credit, beside the attempt's own ids and its temperature."""

    update_id: str  # names the state of the adapter, the ema teacher's average included
    teacher: Teacher
    rate: float  # of the trust region
    prompts: Mapping[str, Sequence[int]]  # ids by context
    teacher_text: str = ""  # the teacher's prompt as people read it; "" where an older version stored the credit


@dataclass(frozen=True, slots=True)
class StoredCredit:
    """A credit of a run with everything needed to recompute it."""

    event_id: int
    basis: Basis
    credit: TokenCredit


def stored_bases(run: Run) -> dict[str, str]:
    """Inputs of each credit of a run, as `put` compares them -> the SHA-256 of its blob."""
    return {_key(event.data): event.blobs[0] for event in run.events(KIND) if event.blobs}


def put(run: Run, credit: TokenCredit, basis: Basis, known: dict[str, str]) -> None:
    """Commit a credit, unless the run holds an undamaged one of the same inputs; `known` lists those, and grows.

    Raises RunError.
    """
    ids = {name: list(basis.prompts[name]) for name in credit.contexts}
    data = {
        "attempt_id": credit.attempt_id,
        "update_id": basis.update_id,
        "temperature": credit.temperature,
        "teacher": basis.teacher,
        "teacher_update_rate": basis.rate,
        "noise_floor": credit.noise_floor,
        "contexts": list(credit.contexts),
        "prompts_sha256": hashlib.sha256(json.dumps(ids).encode()).hexdigest(),
        "absent": dict(credit.absent),
        "advantage": credit.advantage,
    }
    key = _key(data)
    if key in known and run.usable(known[key]):
        return
    texts = {str(token.id): token.text for listed in credit.alternatives for token in listed}
    blob = run.blobs.put(
        _tensors(credit, ids), {"tokens": credit.tokens, "texts": texts, "teacher_prompt": basis.teacher_text}
    )
    if known.get(key) != blob:  # else its file was damaged, and is written again
        run.append(KIND, data, (blob,))
        known[key] = blob


def stored(run: Run, attempt_id: str | None = None) -> list[StoredCredit]:
    """The credits of a run (of one attempt, where given), oldest first; those that are `lost` are left out."""
    return [_read(run, event) for event in _events(run, attempt_id) if all(map(run.usable, event.blobs))]


def lost(run: Run, attempt_id: str) -> bool:
    """True where a credit of an attempt has a blob that is missing or damaged."""
    return not all(run.usable(sha256) for event in _events(run, attempt_id) for sha256 in event.blobs)


def _events(run: Run, attempt_id: str | None) -> list[Event]:
    return [event for event in run.events(KIND) if attempt_id in (None, event.data.get("attempt_id"))]


def _key(data: Mapping[str, Any]) -> str:
    # The noise floor is measured anew each time and differs in its last digits; nothing else does.
    return json.dumps({name: value for name, value in data.items() if name != "noise_floor"}, sort_keys=True)


def _tensors(credit: TokenCredit, prompts: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    def int32(values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int32)

    # float32 is what the policy's scores are made in: what is read back is bit for bit what was scored.
    tensors = {f"prompt/{name}": int32(ids) for name, ids in prompts.items()}
    tensors["token_ids"] = int32(credit.token_ids)
    tensors |= {f"logps/{name}": torch.tensor(values) for name, values in credit.contexts.items()}
    tensors |= {name: torch.tensor(getattr(credit, name)) for name in QUANTITIES}
    width = max((len(listed) for listed in credit.alternatives), default=0)
    rows = [[*listed, *[TopToken("", -1, 0.0, 0.0)] * (width - len(listed))] for listed in credit.alternatives]
    shape = (len(rows), width)
    tensors["top/ids"] = int32([token.id for row in rows for token in row]).reshape(shape)
    for side in ("student_logp", "teacher_logp"):
        values = torch.tensor([getattr(token, side) for row in rows for token in row])
        tensors[f"top/{side}s"] = values.reshape(shape)
    return tensors


def _read(run: Run, event: Event) -> StoredCredit:
    try:
        tensors, metadata = run.blobs.get(event.blobs[0]), run.blobs.metadata(event.blobs[0])
        data: Mapping[str, Any] = event.data
        texts, names = metadata["texts"], data["contexts"]
        columns = [tensors[f"top/{name}"].tolist() for name in ("ids", "student_logps", "teacher_logps")]
        alternatives = tuple(
            tuple(TopToken(texts[str(i)], i, s, t) for i, s, t in zip(*row, strict=True) if i >= 0)
            for row in zip(*columns, strict=True)
        )
        credit = TokenCredit(
            attempt_id=data["attempt_id"],
            tokens=tuple(metadata["tokens"]),
            token_ids=tuple(tensors["token_ids"].tolist()),
            contexts={name: tuple(tensors[f"logps/{name}"].tolist()) for name in names},
            noise_floor=data["noise_floor"],
            temperature=data["temperature"],
            alternatives=alternatives,
            absent=data["absent"],
            advantage=data["advantage"],
            **{name: tuple(tensors[name].tolist()) for name in QUANTITIES},
        )
        prompts = {name: tuple(tensors[f"prompt/{name}"].tolist()) for name in names}
        basis = Basis(
            data["update_id"], data["teacher"], data["teacher_update_rate"], prompts, metadata.get("teacher_prompt", "")
        )
        return StoredCredit(event.id, basis, credit)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RunError(
            f"Event {event.id} ({event.kind}) cannot be read ({error}); open the run with the version that wrote it."
        ) from error
