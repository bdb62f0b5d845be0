"""The text of `doctor --report`, for a bug report: what is here, what holds, and why the rest does not.

Holds nothing private: the home directory is written `~`, and the name of the user is left out.
"""

from __future__ import annotations

import getpass
import locale
import os
import platform
import re
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

USER = "(user)"  # in place of the name of whoever runs this


def bug_report(findings: Mapping[str, Any]) -> str:
    """Write what `doctor` found as lines of text, with the system and the sandbox's tiers added."""
    lines = [
        "sdpo-workbench doctor --report",
        "",
        *_section("System", _system()),
        *_section("Hardware", findings["hardware"]),
        *_section("Versions", findings["versions"]),
        *_section("Sandbox", {"in use": findings["sandbox"], **tiers()}),
        *_section("Devices", findings["devices"]),
        *_section(
            "Policy", {name: value for name, value in findings["policy"].items() if not isinstance(value, Mapping)}
        ),
        *_section("Self-checks", {name: check_line(check) for name, check in findings["checks"].items()}),
        *_section("Plugins", {name: ", ".join(entries) for name, entries in findings["plugins"].items() if entries}),
    ]
    return without_names("\n".join(lines).rstrip())


def check_line(check: Mapping[str, Any]) -> str:
    """Verdict of a self-check, and its numbers in words."""
    verdict = {True: "passed", False: "FAILED", None: "not made"}[check["ok"]]
    return f"{verdict}: {check['says']}"


def _section(title: str, rows: Mapping[str, Any]) -> list[str]:
    lines = [f"  {name.replace('_', ' ')}: {_cell(value)}" for name, value in rows.items()]
    return [title, *(lines or ["  none"]), ""]


def _cell(value: Any) -> str:
    return "none" if value is None else " ".join(str(value).split())


def _system() -> dict[str, Any]:
    return {
        "platform": f"{platform.platform()}, {platform.machine()}, sys.platform {sys.platform}",
        "python": f"{platform.python_version()} {platform.python_implementation()}, {sys.maxsize.bit_length() + 1} bit",
        "encodings": f"files {sys.getfilesystemencoding()}, locale {locale.getpreferredencoding(False)}, "
        f"output {getattr(sys.stdout, 'encoding', None)}",
        "virtual environment": "yes" if sys.prefix != sys.base_prefix else "no",
        "home directory": _writable(Path.home()),
        "temporary directory": _writable(Path(tempfile.gettempdir())),
        "lock of a run": _lock(),
    }


def _writable(folder: Path) -> str:
    return "writable" if os.access(folder, os.W_OK) else "read-only"


def _lock() -> str:
    """Try in a temporary directory whether a second opening is refused, and the third is not."""
    from workbench.errors import RunError
    from workbench.runs.lock import RunLock

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "lock"
        try:
            held = RunLock(path)
        except RunError as error:
            return str(error)
        try:
            RunLock(path).release()
        except RunError:
            held.release()
        else:
            return "NOT EXCLUSIVE: two openings hold it at once"
        RunLock(path).release()
    return "exclusive, free again after its release"


def tiers() -> dict[str, str]:
    """Tier of the sandbox -> that it holds here, or why it does not."""
    from workbench.tasks.sandbox.run import open_doors
    from workbench.tasks.sandbox.tiers import BOUNDARIES, why_not

    verdicts: dict[str, str] = {}
    for tier in BOUNDARIES:
        lack = why_not(tier)
        doors = [] if lack else open_doors(tier)
        verdicts[tier] = lack or ("holds" if not doors else f"does not hold: {'; '.join(doors)}")
    return verdicts


def without_names(text: str) -> str:
    """Text without the home directory, in any spelling, and without the name of the user."""
    homes = {Path.home(), Path.home().resolve()}
    spellings = {spelling for home in homes if len(home.parts) > 1 for spelling in (str(home), home.as_posix())}
    spellings |= {spelling.replace("\\", "\\\\") for spelling in spellings}  # as in a quoted path
    for spelling in sorted(spellings, key=len, reverse=True):
        text = re.sub(rf"{re.escape(spelling)}(?![\w-])", "~", text, flags=re.IGNORECASE)
    with suppress(Exception):  # where the system knows no name, there is none to leave out
        text = re.sub(rf"(?<!\w){re.escape(getpass.getuser())}(?!\w)", USER, text, flags=re.IGNORECASE)
    return text
