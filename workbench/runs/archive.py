"""A run as one file: a ZIP, nothing compressed, with `events.jsonl` and the blobs that the events name.

An archive may come from anyone. Importing never opens a foreign database, never writes to a name that the archive
chose, never unpacks more bytes than the archive has, and puts the new run in place only after every check.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from workbench.errors import RunError
from workbench.runs import state, timeline
from workbench.runs.files import disk_error, put_in_place, sync_directory, sync_file
from workbench.runs.run import BLOBS_NAME, LOG_NAME, Run
from workbench.runs.store import Event, Store

EVENTS_NAME = "events.jsonl"
CHUNK_BYTES = 1 << 20
_BLOB = re.compile(r"blobs/([0-9a-f]{64})\.safetensors")


def export_run(run: Run, target: Path) -> Path:
    """Write a run (also one that is open read-only) to `target`; an older file there is replaced at the end.

    Missing and damaged blobs are left out; their events are set aside wherever the archive is opened.
    Raises RunError where the file cannot be written.
    """
    target = Path(target)
    events = run.events()
    names = dict.fromkeys(sha256 for event in events for sha256 in event.blobs)
    temporary = target.with_name(target.name + ".tmp")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            lines = (json.dumps(dataclasses.asdict(event), allow_nan=False) for event in events)
            archive.writestr(EVENTS_NAME, "".join(f"{line}\n" for line in lines))
            for sha256 in names:
                if run.blobs.problem(sha256) is None:
                    archive.write(run.blobs.path(sha256), f"{BLOBS_NAME}/{sha256}.safetensors")
        sync_file(temporary)
        put_in_place(temporary, target)
        sync_directory(target.absolute().parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise disk_error(target, error) from error
    return target


def import_run(archive: Path, target: Path) -> Path:
    """Make a new run directory at `target` from an exported archive.

    Raises RunError, leaving nothing at `target`, when `target` exists, or the archive is no archive, damaged, or
    hostile (foreign names, links, compression, overlapping members, blobs that do not match their hash).
    """
    archive, target = Path(archive), Path(target)
    if target.exists():
        raise RunError(f"{target} already exists; choose a new directory for the imported run.")
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
    except OSError as error:
        raise disk_error(target, error) from error
    try:
        _unpack(archive, building)
        building.chmod(0o755)  # mkdtemp's 0700 is for the time of building only
        put_in_place(building, target)
        sync_directory(target.absolute().parent)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise RunError(
            f"{archive.name} is not an exported run or is damaged ({error}); export the run again."
        ) from error
    except OSError as error:
        raise disk_error(archive if error.filename == str(archive) else target, error) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def _unpack(archive: Path, building: Path) -> None:
    with zipfile.ZipFile(archive) as source:
        members = source.infolist()
        _check_members(archive, members)
        with source.open(EVENTS_NAME) as lines:
            events = _read_events(archive, lines)
        try:
            timeline.build(events)
            state.reconstruct(events)
        except (AttributeError, TypeError, ValueError) as error:  # JSON of a wrong shape, such as a list for an id
            raise RunError(
                f"{archive.name} holds events that cannot be read ({error}); export the run again."
            ) from error
        (building / BLOBS_NAME).mkdir()
        for member in members:
            if match := _BLOB.fullmatch(member.filename):
                _copy_blob(source, member, building / BLOBS_NAME, match[1])
    sync_directory(building / BLOBS_NAME)
    store = Store(building / LOG_NAME)
    try:
        store.restore(events)
    finally:
        store.close()


def _check_members(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    for member in members:
        regular = stat.S_IFMT(member.external_attr >> 16) in (0, stat.S_IFREG)
        plain = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
        known = member.filename == EVENTS_NAME or _BLOB.fullmatch(member.filename)
        if not (known and regular and plain and member.file_size == member.compress_size):
            raise RunError(
                f"{archive.name} holds {member.filename[:80]!r}, which no exported run contains; do not trust it."
            )
    if len(set(names)) < len(names) or EVENTS_NAME not in names:
        raise RunError(f"{archive.name} does not list its files once each with an {EVENTS_NAME}; export the run again.")
    # Stored members that do not overlap cannot be larger than their archive.
    if sum(member.file_size for member in members) > archive.stat().st_size:
        raise RunError(f"{archive.name} claims to hold more bytes than it has; do not trust it.")


def _read_events(archive: Path, lines: Iterable[bytes]) -> list[Event]:
    events: list[Event] = []
    for number, line in enumerate(lines, start=1):
        try:
            event = _event(json.loads(line, parse_constant=_no_constant))
            if event.id <= (events[-1].id if events else 0):
                raise ValueError("its id does not count up")
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise RunError(
                f"{archive.name}, {EVENTS_NAME}, line {number} is not an event ({error}); export the run again."
            ) from error
        events.append(event)
    return events


def _event(data: Any) -> Event:
    event = Event(data["id"], data["kind"], data["created"], data["data"], tuple(data["blobs"]))
    if type(event.id) is not int or event.id >= 2**63:
        raise ValueError("its id is not a number")
    if not (isinstance(event.kind, str) and event.kind and isinstance(event.created, str)):
        raise ValueError("its kind and time are not text")
    if not isinstance(event.data, dict):
        raise ValueError("its data is not an object")
    if not all(isinstance(sha256, str) and _BLOB.fullmatch(f"blobs/{sha256}.safetensors") for sha256 in event.blobs):
        raise ValueError("its blobs are not hashes")
    for text in (event.kind, event.created):
        text.encode()  # lone surrogates cannot be stored
    return event


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _copy_blob(source: zipfile.ZipFile, member: zipfile.ZipInfo, directory: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    with source.open(member) as content, (directory / f"{sha256}.safetensors").open("xb") as file:
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != sha256:
        raise RunError(f"Blob {sha256} of the archive is damaged; export the run again.")
