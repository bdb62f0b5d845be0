"""The page over a stored run, without a model, while the session that writes it is still open."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from forked import serving
from replayed_run import remarked_group

from workbench import Workbench
from workbench.benchmarks.browser import ROOT
from workbench.config import SDPOConfig
from workbench.records import Attempt
from workbench.runs import Run

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Workbench, list[Attempt]]]:
    """The address of a replay, the session that holds its run, and the attempts in it."""
    path = tmp_path_factory.mktemp("runs") / "lecture"
    with Workbench.open(path) as workbench:
        group = remarked_group(workbench, 24)
        workbench.update(group, SDPOConfig(steps=1))
        for attempt in group:
            workbench.credit(attempt, contexts="all")
        with serving(path, ["--replay", str(path)]) as address:
            yield address, workbench, group


def test_the_round_is_shown_and_what_needs_the_model_is_off_and_says_why(
    new_page: Callable[..., Any], replayed: tuple[str, Workbench, list[Attempt]], picture: Callable[..., None]
) -> None:
    address, workbench, _ = replayed
    before = len(workbench.events())
    page = new_page()
    page.goto(address)
    page.wait_for_selector(".wb-note:has-text('No model is loaded')")
    page.wait_for_selector(".hm-t")
    assert page.locator(".wb-card-button").count() == 3 and page.locator(".wb-node").count() == 2
    assert page.locator("#feedback textarea").input_value() == "remark 0."
    page.click(".wb-parts .wb-switch:has-text('person')")
    page.wait_for_selector("#part-evidence:has-text('the teacher sees no feedback on this attempt')")
    assert "The colours and the teacher prompt stay as they were stored" in page.locator("#part-evidence").inner_text()
    page.click(".wb-parts .wb-switch:has-text('person')")
    page.wait_for_function("document.querySelector('#feedback textarea').value === 'remark 0.'")
    page.click(".wb-teacher summary")
    assert "remark 0." in page.locator(".wb-teacher").inner_text()
    for control in ("#do-sample", "#do-stop", "#do-update", "#do-undo", "#give-feedback", "#feedback textarea"):
        assert page.locator(control).is_disabled(), control
    assert "No model is loaded" in page.locator("#do-sample").get_attribute("title")
    page.click(".wb-card:nth-child(2) .wb-card-button")
    page.wait_for_selector(".hm-title:has-text('Attempt 2 of')")
    page.get_by_role("tab", name="Runs").click()
    page.click("#export-run:not([disabled])")
    with page.expect_download() as archive:
        page.click("#archive a")
    assert archive.value.suggested_filename.endswith(".zip")
    page.get_by_role("tab", name="Compare").click()
    page.click("#do-compare:not([disabled])")
    page.wait_for_selector(".cmp-block")
    page.get_by_role("tab", name="Round").click()
    page.wait_for_selector(".hm-legend")
    picture(page, "replay")
    assert len(workbench.events()) == before


@pytest.mark.parametrize(("name", "tab"), [("learn", "learn"), ("discover", "discover"), ("study-credit", "studies")])
def test_a_measured_experiment_is_shown_from_its_log(
    new_page: Callable[..., Any], tmp_path: Path, picture: Callable[..., None], name: str, tab: str
) -> None:
    """The first seed of what docs/evidence.md reports, as the run had it, in both themes."""
    evidence = ROOT / "docs" / "evidence" / f"{name}.json"
    if not evidence.is_file():
        pytest.skip(f"{evidence.name} was not measured yet")
    report = json.loads(evidence.read_text(encoding="utf-8"))
    settings, arms = report["settings"]["settings"]["0"], report["points"]["0"]
    with Run.open(tmp_path / name) as run:
        run.append("experiment", {"name": name, "settings": settings, "start": "root"})
        for arm, points in arms.items():
            for step, data in enumerate(points):
                place = {"experiment": name, "arm": arm, "step": step, "update_id": "root"}
                run.append("point", {**place, "data": data})
    with serving(tmp_path / name, ["--replay", str(tmp_path / name)]) as address:
        for scheme, height in (("light", 1130), ("dark", 900)):
            page = new_page(scheme=scheme, height=height)
            page.goto(address)
            page.wait_for_selector(".wb-note:has-text('No model is loaded')")
            page.get_by_role("tab", name=tab.capitalize()).click()
            page.wait_for_selector(f".wb-{tab}-now .ex-state:has-text('finished')")
            page.wait_for_selector(f"#{tab}-chart-0 .xtitle")
            page.wait_for_selector(f".wb-{tab}-tables tbody tr")
            assert page.locator(f"#start-{tab}").is_disabled()
            assert page.evaluate("document.documentElement.scrollWidth") <= 1280
            page.wait_for_selector(".wb-state[data-state='ready']")
            picture(page, f"{tab}-{scheme}")


def test_a_program_is_refused_with_the_same_reason(replayed: tuple[str, Workbench, list[Attempt]]) -> None:
    address, workbench, group = replayed
    gradio_client = pytest.importorskip("gradio_client")
    client = gradio_client.Client(address, verbose=False)
    before = len(workbench.events())
    for name, values in (
        ("sample", {"task": group[0].task_id, "n": 1}),
        ("update", {"attempts": [group[0].id]}),
        ("undo", {}),
        ("feedback", {"attempt": group[0].id, "text": "words"}),
    ):
        with pytest.raises(gradio_client.exceptions.AppError, match="replay of a stored run"):
            client.predict(api_name=f"/{name}", **values)
    scored = client.predict(api_name="/credit", attempt=group[1].id, contexts=["all"])
    assert [token["id"] for token in scored["tokens"]] == list(group[1].token_ids)
    assert len(workbench.events()) == before
