"""The page over a run without its model: every control that needs the model is off, and says why."""

from __future__ import annotations

import gradio as gr

# Controls that work on stored data alone, by element id.
LOOKING = {"pack", "task", "compare-kind", "compare-view", "compare-run", "do-compare", "share-run", "export-run"}
CONTROLS = (
    gr.Button,
    gr.Textbox,
    gr.Number,
    gr.Slider,
    gr.Radio,
    gr.Dropdown,
    gr.Checkbox,
    gr.CheckboxGroup,
    gr.UploadButton,
    gr.File,
)


def switch_off(page: gr.Blocks) -> None:
    """Deactivate every control of the page but those that only look at stored data."""
    for block in page.blocks.values():
        if isinstance(block, CONTROLS) and block.elem_id not in LOOKING:
            block.interactive = False


def still_off(update: object) -> object:
    """Filter a component's update during a replay: a button never becomes active."""
    return gr.Button(interactive=False) if isinstance(update, gr.Button) else update
