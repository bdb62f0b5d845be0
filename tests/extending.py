"""The worked examples of docs/extending.md, taken out of the document."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "extending.md"


def section(heading: str) -> str:
    """The text below the heading "## `heading` (N files)"."""
    parts = re.split(r"^## ", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (matching,) = [part for part in parts if part.startswith(heading)]
    return matching


def blocks(heading: str, language: str) -> list[str]:
    """The code blocks of a section that are in one language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", section(heading), flags=re.MULTILINE | re.DOTALL)


def file_count(heading: str) -> int:
    """Number of files that the section's heading promises."""
    match = re.match(r"[^\n]*\((\d+) files?\)", section(heading))
    assert match is not None, f"the heading of {heading!r} does not say how many files"
    return int(match.group(1))


def apply_diff(diff: str, root: Path) -> Path:
    """Apply a block in the form of a diff below `root`: what is changed must stand there exactly once."""
    header, *hunks = re.split(r"^@@.*\n", diff, flags=re.MULTILINE)
    (name,) = re.findall(r"^\+\+\+ b/(\S+)$", header, flags=re.MULTILINE)
    path = root / name
    text = path.read_text(encoding="utf-8")
    for hunk in hunks:
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, f"{name} does not hold exactly once:\n{before}"
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")
    return path


def copy_of_the_workbench(folder: Path) -> Path:
    """A copy of the package that a test may change, as a checkout has it."""
    for name in ("workbench", "kernels"):
        shutil.copytree(ROOT / name, folder / name)  # with the compiled modules, which stay valid
    return folder


def run(script: str, folder: Path, *, package: Path = ROOT) -> str:
    """Run a script in `folder`, whose modules it can import, over the workbench in `package`; return its output."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={
            **{"PYTHONPATH": f"{package}:{folder}", "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1"},
            **{"HOME": str(folder), "OMP_NUM_THREADS": "1"},
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
