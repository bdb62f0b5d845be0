"""The look of the page: a quiet Gradio theme, and the head with our styles and scripts. No web fonts."""

from __future__ import annotations

from importlib.resources import files

import gradio as gr

from workbench import heatmap

SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Liberation Sans", "sans-serif"]
MONO = ["ui-monospace", "SF Mono", "Cascadia Code", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"]


STYLES = ("page.css", "header.css", "compare.css", "experiments.css", "tour.css")
# The scripts after page.js use its tools.
SCRIPTS = (
    "terms.js",
    "page.js",
    "changes.js",
    "header.js",
    "task.js",
    "feedback.js",
    "update.js",
    "timeline.js",
    "compare.js",
    "experiments.js",
    "runs.js",
    "tour.js",
    "drafts.js",
)


def theme() -> gr.themes.Base:
    """Theme without boxes around blocks, with one ink-coloured primary button and the same spacing everywhere."""
    light, dark = "#ffffff", "#18181b"
    base = gr.themes.Base(
        primary_hue="slate", neutral_hue="slate", font=SANS, font_mono=MONO, radius_size="sm", text_size="md"
    )
    return base.set(
        body_background_fill=light,
        body_background_fill_dark=dark,
        body_text_color="#111827",
        body_text_color_dark="#fafafa",
        body_text_color_subdued="#5b6472",
        body_text_color_subdued_dark="#a8adb8",
        background_fill_primary=light,
        background_fill_primary_dark=dark,
        background_fill_secondary="#f6f7f9",
        background_fill_secondary_dark="#212125",
        border_color_primary="#e3e6eb",
        border_color_primary_dark="#34353b",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_shadow="none",
        block_shadow_dark="none",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_border_width_dark="0px",
        block_label_text_color="#5b6472",
        block_label_text_color_dark="#a8adb8",
        block_title_text_weight="400",
        block_title_text_color="#5b6472",
        block_title_text_color_dark="#a8adb8",
        block_title_text_size="13px",
        input_background_fill="#f6f7f9",
        input_background_fill_dark="#212125",
        input_border_color="#d5dae1",
        input_border_color_dark="#3d3f46",
        input_shadow="none",
        input_shadow_dark="none",
        panel_background_fill="transparent",
        panel_background_fill_dark="transparent",
        panel_border_width="0px",
        button_primary_background_fill="#111827",
        button_primary_background_fill_dark="#fafafa",
        button_primary_background_fill_hover="#374151",
        button_primary_background_fill_hover_dark="#d4d7dd",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#18181b",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="#eef0f3",
        button_secondary_background_fill_hover_dark="#2a2b30",
        button_secondary_text_color="#111827",
        button_secondary_text_color_dark="#fafafa",
        button_secondary_border_color="#c3c9d2",
        button_secondary_border_color_dark="#4b4e57",
        button_border_width="1px",
        button_border_width_dark="1px",
        layout_gap="18px",
    )


def _asset(name: str) -> str:
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


def head() -> str:
    """Styles and scripts of the page, inline: nothing is loaded from anywhere."""
    style = heatmap.style() + "".join(map(_asset, STYLES))
    script = heatmap.script() + "\n".join(map(_asset, SCRIPTS))
    return f"<style>{style}</style><script>{script}</script>"
