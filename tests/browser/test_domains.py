"""The paper's domains through the page, a round in each, and tasks that people bring: typed, or in files.

The embedded policy does not speak these domains, so the attempts' texts are given (`scripted`); all else is real.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from forked import serving
from scripted import scripted_samples
from test_page import idle, newest, replaced

from workbench.config import model_name
from workbench.tasks import find_environment
from workbench.tasks.house_rules.pack import FIRST_SPECIFICATION
from workbench.ui.tabs.round.own_task import placed

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(shared_page: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page over a program whose attempts are scripted; an update makes one step."""
    with serving(tmp_path_factory.mktemp("runs") / "domains", prepare=scripted_samples) as address:
        shared_page.goto(address)
        shared_page.wait_for_selector(".wb-prompt")
        shared_page.get_by_role("tab", name="Settings").click()
        shared_page.fill("#set-steps input", "1")
        shared_page.locator("#set-steps input").blur()
        shared_page.get_by_role("tab", name="Round").click()
        shared_page.wait_for_selector(".wb-prompt")
        yield shared_page


def choose(page: Any, field: str, name: str) -> None:
    page.click(f"#{field} input")
    page.get_by_role("option", name=name, exact=True).click()


def sampled(page: Any, count: int) -> None:
    """Sample a group; its first attempt failed and is the chosen one, in colour."""
    before = newest(page)
    page.get_by_label("Attempts").fill(str(count))
    page.get_by_label("Attempts").blur()
    page.click("#do-sample")
    replaced(page, before, count)
    page.wait_for_selector(f".hm-title:has-text('Attempt 1 of {count}: failed, reward 0')")
    page.wait_for_selector(".hm-t:visible")


def updated_and_undone(page: Any) -> None:
    """The update says which attempts give signal, what it did, and is undone."""
    page.wait_for_selector(".wb-plan:has-text('signal')")
    nodes = page.locator(".wb-node").count()
    page.click("#do-update:not([disabled])")
    page.wait_for_selector(".wb-after")
    page.wait_for_selector(".hm-legend:has-text('above:')")  # predicted above, realised below
    page.click("#do-undo")
    page.wait_for_selector(".wb-after", state="detached")
    assert page.locator(".wb-node").count() > nodes
    page.wait_for_selector(".wb-node[aria-current='step'][aria-label^='root']")
    idle(page)


def part(page: Any, kind: str) -> Any:
    return page.locator(f".wb-parts li:has(.wb-switch:text-is('{kind}'))")


def test_a_choice_of_science(page: Any) -> None:
    choose(page, "pack", "science")
    page.wait_for_selector(".wb-options")
    assert page.locator(".wb-options li").all_inner_texts() == ["A\nThymine", "B\nGuanine", "C\nCytosine", "D\nUracil"]
    assert "Choose the right option." in page.locator(".wb-system").inner_text()
    sampled(page, 2)
    assert page.locator(".wb-read").all_inner_texts() == ["read as: B", "read as: A"]
    assert page.locator(".wb-card-button .wb-pass").count() == 1
    page.wait_for_selector(".hm-fold:has-text('Reasoning,')")
    assert not page.locator(".hm-t[data-i='0']").is_visible()
    page.click(".hm-fold")
    assert page.locator(".hm-t[data-i='0']").is_visible()
    page.click(".hm-fold")
    assert part(page, "outcome").inner_text().endswith("B is not the right choice.")
    assert "discloses the answer" in part(page, "answer").inner_text()
    assert "The right choice is A." not in page.locator("body").inner_text()
    part(page, "answer").locator(".wb-switch").click()
    page.wait_for_selector(".wb-parts .wb-part-text:has-text('The right choice is A.')")
    page.wait_for_function("document.querySelector('#feedback textarea').value.includes('The right choice is A.')")
    part(page, "answer").locator(".wb-switch").click()
    page.wait_for_function("!document.querySelector('#feedback textarea').value.includes('The right choice is A.')")
    updated_and_undone(page)


def test_calls_of_tools(page: Any) -> None:
    choose(page, "pack", "tools")
    page.wait_for_selector(".wb-shown:has-text('listStations')")
    choose(page, "task", "weather-week")
    page.wait_for_selector(".wb-prompt:has-text('What will the weather in Bergen be like')")
    assert page.locator(".wb-shown tbody tr").count() == 3
    assert "days: integer" in page.locator(".wb-shown tr:has-text('getForecast')").inner_text()
    frame = "(frame) => frame.scrollWidth - frame.clientWidth"
    assert page.locator(".wb-task .wb-frame").evaluate(frame) <= 0  # nothing is cut off at the side
    sampled(page, 2)
    assert page.locator(".wb-read").first.inner_text().startswith("read as: getForecast(place=")
    assert 'getForecast(place="Bergen", days="many", unit="celsius")' in page.locator(".hm-title").inner_text()
    assert part(page, "diff").inner_text().endswith("'days' is not right; it must be of the type integer.")
    assert "days=7" not in page.locator(".wb-parts").inner_text()
    updated_and_undone(page)


def test_a_program_with_hidden_tests(page: Any) -> None:
    choose(page, "pack", "programs")
    page.wait_for_selector(".wb-shown:has-text('11 7')")
    assert page.locator(".wb-shown caption").inner_text() == "Samples"
    assert page.locator(".wb-shown tbody tr").count() == 1  # the hidden tests are no samples
    sampled(page, 3)
    tests = page.locator(".wb-tests li")
    assert tests.all_inner_texts() == ["✗ test 1", "3 hidden tests: 1 passed"]
    assert part(page, "example").inner_text().endswith("the program printed '7 11\\n', expected '11 7\\n'")
    page.get_by_text("what was read as the answer").click()
    read = page.locator(".wb-details:has-text('what was read as the answer') pre").inner_text()
    assert read.startswith("n, *xs = map(int,") and "```" not in read
    page.click(".wb-card:nth-child(3) .wb-card-button")  # right for the sample, wrong for what is hidden
    page.wait_for_selector(".wb-tests li:has-text('✓ test 1')")
    assert part(page, "outcome").inner_text().endswith("The public tests pass, and a hidden test does not.")
    assert "1000000000" not in page.locator("body").inner_text()
    updated_and_undone(page)


PROMPT = "What is asked?"
# Environment -> what is typed into its form, by the end of the field's id.
TYPED: dict[str, dict[str, str]] = {
    "exact": {"text-1": "4"},
    "regex": {"text-1": "^yes", "text-2": "i"},
    "numeric": {"text-1": "9.81", "text-2": "m/s^2", "text-3": "0.01"},
    "json": {"text-1": '{"a": 1}', "text-2": '{"type": "object"}'},
    "choice": {"choice": "B", "text-1": "red\nblue"},
    "tool_calls": {"cell-1-1": "stop", "cell-1-2": "{}", "text-1": '[{"name": "stop"}]'},
    "python": {"cell-1-1": "f(1)", "cell-1-2": "1", "cell-2-1": "f(2)", "cell-2-2": "2", "text-1": "1", "text-3": "4"},
    "puzzle": {"choice": "countdown", "text-1": '{"numbers": [2, 3], "target": 5}'},
    "rubric": {"text-1": "HuggingFaceTB/SmolLM2-135M-Instruct", "text-2": "It is short.\nIt is kind."},
    "house-rules": {"text-1": "7"},
}


def test_a_task_of_each_kind_is_typed_into_its_form(page: Any) -> None:
    page.get_by_role("button", name="Type your own task").click()
    for name, typed in TYPED.items():
        environment = find_environment(name)
        page.fill("#own-prompt textarea", FIRST_SPECIFICATION if name == "house-rules" else f"{PROMPT} {name}")
        choose(page, "own-judge", environment.label or name)
        for place, field in placed(environment.form()).items():
            page.wait_for_selector(f"#own-{place.replace(' ', '-')}:has-text('{field.label}')")
        for place, text in typed.items():
            if place == "choice":
                choose(page, "own-choice", text)
            else:
                page.fill(f"#own-{place} :is(textarea, input)", text)
        page.click("#own-add")
        judge = f"the model {model_name(typed['text-1'])}" if name == "rubric" else name
        page.wait_for_selector(f".wb-task .wb-quiet:has-text('judged by {judge}')")
        assert page.locator(".toast-body").count() == 0
    page.get_by_role("button", name="Type your own task").click()


def dropped(page: Any, name: str, data: bytes) -> None:
    """Drop a file onto its field, as from a folder."""
    clear = page.locator("#import-file button[aria-label='Clear']")
    if clear.count():
        clear.first.click()
        clear.first.wait_for(state="detached")
    script = """([name, bytes]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], name));
        return transfer;
    }"""
    transfer = page.evaluate_handle(script, [name, list(data)])
    page.locator("#import-file button").first.dispatch_event("drop", {"dataTransfer": transfer})


def test_a_file_of_each_format_is_dropped_and_its_mapping_is_remembered(page: Any) -> None:
    table = pyarrow.table({"task": ["What is 1 + 1?"], "answer": ["2"]})
    written = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, written)
    files = {
        "lines.jsonl": b'{"task": "What is 1 + 1?", "answer": "2"}\n',
        "list.json": b'[{"task": "What is 1 + 1?", "answer": "2"}]',
        "rows.csv": b"task;answer\nWhat is 1 + 1?;2\n",
        "columns.parquet": written.getvalue().to_pybytes(),
    }
    page.get_by_role("button", name="Packs as files").click()
    for name, data in files.items():
        dropped(page, name, data)
        page.wait_for_selector(".wb-packpreview:has-text(\"the field 'prompt' is missing\")")
        page.fill("#import-prompt input", "task")
        page.locator("#import-prompt input").press("Enter")
        pack = name.partition(".")[0]
        page.wait_for_selector(
            f".wb-ready:has-text(\"1 task will be imported as the pack '{pack}': 1 judged by exact.\")"
        )
        page.click("#import-pack:not([disabled])")
        page.wait_for_selector(".wb-packpreview", state="hidden")
        page.wait_for_function("(pack) => document.querySelector('#pack input').value === pack", arg=pack)
    dropped(page, "rows.csv", b"task;answer\nWhat is 2 + 2?;4\n")
    page.wait_for_selector(".wb-ready:has-text(\"1 task will be imported as the pack 'rows'\")")
    assert page.locator("#import-prompt input").input_value() == "task"
