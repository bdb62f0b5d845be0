"""A check that the tests of stores share: a migration has lost nothing, and the backup beside it is the old log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.runs.store import Store


def check_migrated(path: Path, events: Sequence[Any], migrations: Any) -> None:
    """The log at `path` has these events under the newer schema, and so has its backup under the older one."""
    new = Store(path, migrations=migrations)
    assert new.events() == events
    new.close()
    backup = Store(path.with_name("run.sqlite.v1.bak"), read_only=True)
    assert backup.events() == events
    backup.close()
