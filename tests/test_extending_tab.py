"""The worked example of a tab in docs/extending.md: added to a copy of the package, shown, followed and pressed."""

from __future__ import annotations

import json
from pathlib import Path

from extending import apply_diff, blocks, copy_of_the_workbench, file_count, run

HEADING = "A new tab"
PRESSED = """
import json
import gradio as gr
from workbench import Workbench
from workbench.config import SamplingConfig, SDPOConfig
from workbench.service import make_queue
from workbench.service.actions.round import sample
from workbench.service.snapshot import Snapshot
from workbench.ui import build_ui
from workbench.ui.tabs.tally import tally

queue = make_queue(lambda: Workbench.open("runs/tally")).start()
assert queue.settled.wait(120)
page = build_ui(queue)
attempts = sample(queue, "house-rules/sort-take-1", 2).result(120)
rows = tally(Snapshot(queue, "", "", SDPOConfig(), SamplingConfig()))
(press,) = [handler for handler in page.fns.values() if handler.name == "on_measure" and any(
    page.blocks[target].elem_id == "tally-measure" for target, _ in handler.targets if target in page.blocks)]
press.fn()
(job,) = queue.line()
job.result(300)
print(json.dumps({
    "tabs": [block.label for block in page.blocks.values() if isinstance(block, gr.Tab)],
    "rows": rows,
    "expected": [["house-rules/sort-take-1", 2, sum(one.passed for one in attempts)]],
    "measured": sum(map(len, queue.state.held_out.values())),
    "followed": sum(block.elem_id == "tally" for handler in page.fns.values() if handler.name == "refresh"
                    for block in handler.outputs[:1000] if hasattr(block, "elem_id")) > 0,
}))
queue.close()
"""


def test_the_tab_of_the_document_is_shown_followed_and_pressed(tmp_path: Path) -> None:
    package = copy_of_the_workbench(tmp_path / "copy")
    (module,) = blocks(HEADING, "python")
    path = package / module.splitlines()[0].removeprefix("# ")
    path.write_text(module, encoding="utf-8")
    (edit,) = blocks(HEADING, "diff")
    changed = {path, apply_diff(edit, package)}
    assert len(changed) == file_count(HEADING)
    shown = json.loads(run(PRESSED, tmp_path, package=package).splitlines()[-1])
    assert shown["tabs"] == ["Round", "Discover", "Learn", "Studies", "Compare", "Tally", "Runs", "Settings"]
    assert shown["rows"] == shown["expected"] and shown["followed"]
    assert shown["measured"] == 1  # the press was the action
