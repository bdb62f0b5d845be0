"""What tests share. Hypothesis draws the same examples each time, however slow the machine is."""

from __future__ import annotations

import os

# For small models threads cost more than they give, and programs that the tests start share the machine with them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator

import pytest
from hypothesis import settings
from sandbox_programs import has

from workbench.tasks.sandbox import use_tier
from workbench.tasks.sandbox.tiers import BOUNDARIES, TIERS, Tier
from workbench.tasks.sandbox.wasm import workers

# What begins last decides when everything ends: with several workers, each of which takes a file at a time, these
# files go first, in this order. Pages and bare arithmetic alternate, since pages mostly wait.
LONGEST = (
    *("test_experiment_tabs", "test_ui_experiments", "test_robust", "test_experiments", "test_queue", "test_cli"),
    *("test_panels", "test_installation", "test_page", "test_container", "test_replay", "test_session"),
    *("test_accessibility", "test_server_endurance", "test_drawer", "test_sdpo_loop", "test_compare", "test_app"),
    *(
        "test_hostile",
        "test_endurance",
        "test_changes_browser",
        "test_kernel_triton",
        "test_tour",
        "test_public_replay",
    ),
    *("test_real_model", "test_policy_gguf"),
    *("test_heatmap_browser", "test_sandbox_attacks", "test_server", "test_sandbox_wasm", "test_plugin_example"),
    *("test_experiments_packs", "test_kernels_name", "test_extending_tab", "test_any_policy", "test_notebooks"),
)

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; the others, and the tests within a file, as they were."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONGEST)))


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Tier:
    """Each tier of the sandbox that this machine has."""
    return _present(request.param, monkeypatch)


@pytest.fixture(params=BOUNDARIES)
def boundary(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tier]:
    """Each tier of this machine that confines; it is the one in which code runs during the test."""
    tier = _present(request.param, monkeypatch)
    use_tier(tier)
    yield tier
    use_tier("auto")


def _present(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> Tier:
    if not has(tier):
        pytest.skip(f"this machine has no {tier} tier")
    monkeypatch.setattr(workers, "SLOWER", 1)  # endless loops are ended as soon in WebAssembly as elsewhere
    return tier
