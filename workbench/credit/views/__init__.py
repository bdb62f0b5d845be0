"""Views: ways of reading one attempt's credit. Each stands with its formula in a module here, or comes from outside.

Sign of a signed view: + = more of the token is wanted; A_t is raw credit. `VIEWS` shows what is registered at any
moment; `register_view` adds to it (docs/extending.md).
"""

from __future__ import annotations

from workbench.credit.views.registry import VIEWS, readable, register_view, values
from workbench.credit.views.view import ANY, FROM_ZERO, Range, View

__all__ = ["ANY", "FROM_ZERO", "VIEWS", "Range", "View", "readable", "register_view", "values"]
