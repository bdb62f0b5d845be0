"""The registry of views: the built-in ones in the order in which the page lists them, then those from outside."""

from __future__ import annotations

import math
import re
from typing import cast

from workbench.credit.contexts import CONTEXTS
from workbench.credit.scores import Scores
from workbench.credit.views import baselines, controls, cumulative, distributions, log_ratios, weights
from workbench.credit.views.view import View
from workbench.errors import ConfigError, CreditError
from workbench.plugins import Registry

_BUILT_IN = (*log_ratios.VIEWS, *distributions.VIEWS, *cumulative.VIEWS, *controls.VIEWS, *weights.VIEWS)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def register_view(view: View) -> None:
    """Offer a view wherever credit is read: page, command line, Python API, payloads.

    Registers for this process; an installed package does it through the entry point group `sdpo_workbench.views`.
    Raises ConfigError for what is no view, a name that is taken or badly formed, and contexts that do not exist.
    """
    VIEWS.add(view)


def values(scores: Scores, name: str) -> tuple[float, ...]:
    """The numbers (T,) of one view. Raises KeyError for another name; CreditError as `View.of`."""
    if name not in VIEWS:
        raise KeyError(f"no view named {name!r}; there are {', '.join(VIEWS)}")
    return VIEWS[name].of(scores)


def readable(scores: Scores) -> dict[str, tuple[float, ...]]:
    """The views that what was scored allows, by name, with their numbers (T,)."""
    read: dict[str, tuple[float, ...]] = {}
    for name, view in VIEWS.items():
        try:
            read[name] = view.of(scores)
        except CreditError:  # `View.of` says why to whoever asks for this view by its name
            continue
    return read


def _as_view(given: object) -> View:
    problem = _problem(given)
    if problem is not None:
        raise ConfigError(problem)
    return cast(View, given)


def _problem(view: object) -> str | None:
    if not isinstance(view, View):
        return f"A view is a `View` of workbench.credit, not {type(view).__name__}; see docs/extending.md."
    if not (isinstance(view.name, str) and _NAME.fullmatch(view.name)):
        return f"A view cannot be named {view.name!r}; use small letters, digits and underscores, a letter first."
    if view.name in VIEWS:
        return f"There is a view named {view.name!r} already; give yours another name."
    if not all(isinstance(text, str) and text.strip() for text in (view.title, view.how_to_read)):
        return f"The view {view.name!r} has no title or no sentence that says how to read it; give it both."
    if not callable(view.compute):
        return f"The view {view.name!r} has no formula; `compute` must be a function of the scores."
    ends = (view.range.low, view.range.centre, view.range.high)
    if not (view.range.low <= view.range.centre <= view.range.high and math.isfinite(view.range.centre)):
        return f"The range of the view {view.name!r} is {ends}; give low, centre and high in this order."
    unknown = [name for name in view.needs if name not in CONTEXTS]
    if unknown:
        return (
            f"The view {view.name!r} needs the context {unknown[0]!r}, which does not exist; there are "
            f"{', '.join(CONTEXTS)}."
        )
    return None


# By name; grows with `register_view`.
VIEWS: Registry[View] = Registry("view", "sdpo_workbench.views", _as_view, (*_BUILT_IN, *baselines.VIEWS))
