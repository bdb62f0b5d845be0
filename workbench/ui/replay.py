"""A page over a run without its model: every control that would need it is off, and says why."""

from __future__ import annotations

import gradio as gr

# What works on stored data alone, by element id.
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
)


def switch_off(page: gr.Blocks) -> None:
    """Make every control of the page that does not only look inactive."""
    for block in page.blocks.values():
        if isinstance(block, CONTROLS) and block.elem_id not in LOOKING:
            block.interactive = False


def still_off(update: object) -> object:
    """What a panel tells a component while the run is only looked at: a button never becomes active."""
    return gr.Button(interactive=False) if isinstance(update, gr.Button) else update
