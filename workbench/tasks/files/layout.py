"""Layout of a data set: which of its files hold rows, and on which side of the split each is. Knows no files itself.

The same rules hold for a directory and for a repository on the hub: `configs` in the head of README.md, or else the
names of folders and files. A data set that needs its own code is refused; no code of a data set ever runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from workbench.errors import TaskError
from workbench.tasks.files.table import FILES, Side, suffix_of

_SIDES: Mapping[str, Side] = MappingProxyType(
    {"train": "train"} | dict.fromkeys(("test", "validation", "valid", "val", "dev", "eval"), "held_out")  # type: ignore[arg-type]
)
_SIDE = re.compile(rf"(?:^|[^a-z])({'|'.join(_SIDES)})(?:[^a-z]|$)")
_NO_ROWS = ("dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json")
_PREFERRED = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")  # where the same rows come in several kinds

Files = list[tuple[str, Side | None]]


def choose(name: str, paths: Sequence[str], readme: str, part: str = "") -> Files:
    """Choose the files of a data set, with the side of each: None where the files do not name both sides.

    `paths`: of all its files, relative, with "/"; `readme`: text of its README.md; `part`: a configuration, a folder
    or a file of it, "" for all. Raises TaskError for a data set with a script, and where there is nothing to read.
    """
    data = sorted(path for path in paths if _holds_rows(path))
    if part in data:
        return [(part, None)]
    # A loading script has the data set's name. Another program beside the rows is none of ours, and is not run either.
    scripts = [path for path in paths if "/" not in path and path.endswith(".py")]
    own = [path for path in scripts if path == f"{PurePosixPath(name).name}.py"] if data else scripts
    if own:
        raise TaskError(
            f"The data set {name!r} brings a script ({own[0]}), and no code of a data set is run here; name one of its "
            f"files{_examples(data)}, or its conversion to parquet, REVISION refs/convert/parquet on the hub."
        )
    configs = _configs(readme)
    chosen = _of_config(name, data, configs, part) if configs else _of_folder(name, data, part)
    if not chosen:
        arrow = any(path.endswith(".arrow") for path in paths)
        raise TaskError(
            f"The data set {name!r} holds no rows"
            + (" but in Arrow files; write them with to_parquet." if arrow else f": no file {', '.join(FILES)}.")
        )
    kind = min((suffix_of(path) for path, _ in chosen), key=_PREFERRED.index)
    chosen = [(path, side) for path, side in chosen if suffix_of(path) == kind]
    both = {side for _, side in chosen} >= {"train", "held_out"}
    return chosen if both else [(path, None) for path, _ in chosen]


def _holds_rows(path: str) -> bool:
    parts = PurePosixPath(path).parts
    hidden = any(part.startswith(".") for part in parts)
    return bool(suffix_of(path)) and not hidden and parts[-1] not in _NO_ROWS


def _side(path: str) -> Side | None:
    for part in reversed(PurePosixPath(path.lower()).parts):
        found = _SIDE.search(part)
        if found is not None:
            return _SIDES[found[1]]
    return None


def _of_folder(name: str, data: Sequence[str], part: str) -> Files:
    if part:
        data = [path for path in data if path.startswith(f"{part}/")]
    folders = {PurePosixPath(path.removeprefix(f"{part}/")).parts[0] for path in data if "/" in path}
    folders = {folder for folder in folders if folder != "data" and _side(folder) is None}
    if not part and len(folders) > 1:
        raise TaskError(f"The data set {name!r} has several parts; name one of {_listed(folders)} after its name.")
    return [(path, _side(path)) for path in data]


def _of_config(name: str, data: Sequence[str], configs: Sequence[Mapping[str, Any]], part: str) -> Files:
    by_name = {str(config.get("config_name", "default")): config for config in configs}
    if part not in by_name and part:
        return _of_folder(name, data, part)
    standard = [key for key, config in by_name.items() if config.get("default") is True]
    candidates = [part] if part else standard[:1] or [key for key in by_name if key == "default"] or list(by_name)
    if len(candidates) > 1:
        raise TaskError(f"The data set {name!r} has several parts; name one of {_listed(candidates)} after its name.")
    config = by_name[candidates[0]]
    folder = str(config.get("data_dir") or "").strip("/")
    chosen: Files = []
    for split, patterns in _data_files(config.get("data_files")) or [(None, ["**"])]:
        for pattern in patterns:
            whole = f"{folder}/{pattern}" if folder else pattern
            matching = [path for path in data if fnmatchcase(path, whole.removeprefix("./").replace("**/", "*"))]
            chosen += [(path, _side(path) if split is None else _side(split)) for path in matching]
    return list(dict.fromkeys(chosen))


def _data_files(value: Any) -> list[tuple[str | None, list[str]]]:
    """Patterns of `data_files` in its three forms: one, several, or several by split."""
    found: list[tuple[str | None, list[str]]] = []
    for entry in value if isinstance(value, list) else [value] if value else []:
        if isinstance(entry, str):
            found.append((None, [entry]))
        elif isinstance(entry, Mapping):
            path = entry.get("path")
            patterns = path if isinstance(path, list) else [path]
            found.append((str(entry.get("split", "")) or None, [str(pattern) for pattern in patterns if pattern]))
    return found


def _configs(readme: str) -> list[Mapping[str, Any]]:
    """The `configs` in the YAML head of a README.md, [] where there are none, or none that can be read."""
    head = re.match(r"\ufeff?---\r?\n(.*?)\r?\n---", readme, re.DOTALL)
    if head is None:
        return []
    import yaml

    try:
        card = yaml.safe_load(head[1])
    except (yaml.YAMLError, RecursionError, ValueError):
        return []
    configs = card.get("configs") if isinstance(card, dict) else None
    return [config for config in configs if isinstance(config, dict)] if isinstance(configs, list) else []


def _listed(names: Sequence[str] | set[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)[:20])


def _examples(data: Sequence[str]) -> str:
    return f" ({', '.join(data[:3])})" if data else ""
