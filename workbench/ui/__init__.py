"""The Gradio page: composition, tabs, plain handlers, charts as pure functions, theme.

Knows nothing of models and files: it calls the actions of `workbench.service` and shows the state that is published.
"""

from __future__ import annotations

from workbench.ui.page import build_ui
from workbench.ui.server import launch

__all__ = ["build_ui", "launch"]
