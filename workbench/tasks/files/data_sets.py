"""Data sets as packs: a directory on this machine, or an id on the hub, pinned to a commit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from workbench.errors import TaskError
from workbench.tasks.files.layout import Files, choose
from workbench.tasks.files.table import Row, Table, read_rows, stem_of, suffix_of
from workbench.tasks.files.text import check_rows, check_size, read_bytes

HUB = "hub:"  # hub:OWNER/NAME[/PART][@REVISION]
_LISTED = 10_000  # files of a directory that are looked at


def is_hub(name: str) -> bool:
    """True for the name of a data set on the hub."""
    return name.startswith(HUB)


def read_directory(directory: Path) -> Table:
    """Read the data set in a directory, laid out as on the hub. Raises TaskError."""
    name = directory.resolve().name
    sizes: dict[str, int] = {}
    for folder, folders, names in os.walk(directory):  # does not follow links to other folders
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for path in (Path(folder, name) for name in sorted(names)):
            if path.is_file():
                sizes[path.relative_to(directory).as_posix()] = path.stat().st_size
        if len(sizes) > _LISTED:
            raise TaskError(f"{name} has more than {_LISTED:,} files; name the folder or the file that holds the rows.")
    readme = directory / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    files = choose(name, list(sizes), text)
    check_size(name, sum(sizes[path] for path, _ in files))
    rows, digest = _rows(files, lambda path: read_bytes(directory / path))
    return _table(name, name, rows, digest, None)


def read_hub(source: str) -> Table:
    """Read the data set hub:OWNER/NAME[/PART][@REVISION], at the commit that the revision stands for now.

    Raises TaskError: unknown, gated, unreachable, with a script, too large.
    """
    from huggingface_hub import HfApi, errors

    place, _, revision = source.removeprefix(HUB).partition("@")
    owner, _, rest = place.strip("/").partition("/")
    name, _, part = rest.partition("/")
    repository = f"{owner}/{name}" if name else owner
    api = HfApi(library_name="sdpo-workbench")

    def fetched(path: str) -> bytes:
        local = api.hf_hub_download(repository, path, repo_type="dataset", revision=commit)
        return read_bytes(Path(str(local)))

    try:
        facts = api.dataset_info(repository, revision=revision or None, timeout=30, files_metadata=True)
        commit = facts.sha
        sizes = {file.rfilename: file.size or 0 for file in facts.siblings or ()}
        readme = fetched("README.md").decode(errors="replace") if "README.md" in sizes else ""
        files = choose(repository, list(sizes), readme, part.strip("/"))
        check_size(repository, sum(sizes[path] for path, _ in files))
        rows, digest = _rows(files, fetched)
    except TaskError:
        raise
    except errors.GatedRepoError:
        raise TaskError(
            f"The data set {repository!r} needs an accepted licence; accept it on its hub page and log in."
        ) from None
    except errors.RevisionNotFoundError:
        raise TaskError(f"The data set {repository!r} has no revision {revision!r}; check its name.") from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise TaskError(
            f"There is no data set {repository!r} on the hub; write {HUB}OWNER/NAME as on its page."
        ) from None
    except (errors.HTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TaskError(
            f"The data set {repository!r} cannot be fetched from the hub ({reason}); try again, or download it and "
            "name the directory."
        ) from None
    pack = "-".join(filter(None, ((name or owner), stem_of(part) if suffix_of(part) else Path(part).name)))
    return _table(pack, source.partition("@")[0], rows, digest, commit)


def _rows(files: Files, read: Callable[[str], bytes]) -> tuple[list[Row], str]:
    """The rows of the files, each with its side and a name that is its own, and a hash of their bytes."""
    rows: list[Row] = []
    digest = hashlib.sha256()
    counts: dict[str, int] = {}
    for path, side in files:
        data = read(path)
        digest.update(hashlib.sha256(data).digest())
        stem = {"train": "train", "held_out": "test"}.get(side or "", "row")
        for row in read_rows(path, data):
            counts[stem] = counts.get(stem, 0) + 1
            rows.append(replace(row, file=path, split=side, name=f"{stem}-{counts[stem]}"))
        check_rows(path, len(rows))
    return rows, digest.hexdigest()


def _table(name: str, origin: str, rows: list[Row], digest: str, revision: str | None) -> Table:
    if not rows:
        raise TaskError(f"{origin} has no tasks; add at least one row.")
    if not name.isprintable() or not name.strip():
        raise TaskError(f"A pack cannot be named after {origin!r}; rename the directory.")
    return Table(name, origin, rows, digest, revision)
