"""Puzzles on graphs: colouring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.tasks.puzzles.fault import Fault, parsed, quoted, unreadable, wrong


def graph_color(puzzle: Mapping[str, Any], answer: str) -> Fault | None:
    """A colour of `color_options` for each of `vertices`, different at both ends of each of `edges`."""
    colours = parsed(answer)
    if not isinstance(colours, dict):
        return unreadable('Write a JSON object of vertices and colours, such as {"0": 1, "1": 2}.')
    for vertex in puzzle["vertices"]:
        if str(vertex) not in colours:
            return wrong(f"Vertex {vertex} has no colour.")
        colour = colours[str(vertex)]
        if isinstance(colour, bool) or not isinstance(colour, int) or colour not in puzzle["color_options"]:
            return wrong(f"Vertex {vertex} has the colour {quoted(colour)}, which is not one of those allowed.")
    for one, other in puzzle["edges"]:
        if colours[str(one)] == colours[str(other)]:
            return wrong(f"Vertices {one} and {other} are connected and have the same colour, {colours[str(one)]}.")
    return None
