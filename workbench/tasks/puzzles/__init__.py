"""Verifiers of puzzles: what an answer breaks, in words. Pure functions on plain text; nothing is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from workbench.tasks.puzzles import arithmetic, graphs, grids, moves, words
from workbench.tasks.puzzles.fault import Fault

Verifier = Callable[[Mapping[str, Any], str], Fault | None]

# By name, as data sets of puzzles call them: (fields of the puzzle, text of the answer) -> what is wrong, or None.
VERIFIERS: Mapping[str, Verifier] = MappingProxyType(
    {
        "countdown": arithmetic.countdown,
        "graph_color": graphs.graph_color,
        "jugs": moves.jugs,
        "mini_sudoku": grids.sudoku,
        "number_sorting": arithmetic.number_sorting,
        "prime_factorization": arithmetic.prime_factorization,
        "shortest_path": grids.shortest_path,
        "sudoku": grids.sudoku,
        "tower_of_hanoi": moves.tower_of_hanoi,
        "word_ladder": words.word_ladder,
        "word_sorting": words.word_sorting,
    }
)

# Fields of each puzzle that its verifier reads.
FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "countdown": ("numbers", "target"),
        "graph_color": ("vertices", "edges", "color_options"),
        "jugs": ("jug_capacities", "target"),
        "mini_sudoku": ("grid",),
        "number_sorting": ("original_numbers", "direction"),
        "prime_factorization": ("number",),
        "shortest_path": ("matrix",),
        "sudoku": ("grid",),
        "tower_of_hanoi": ("num_disks", "num_pegs", "start_peg", "target_peg", "solution_length"),
        "word_ladder": ("start_word", "end_word"),
        "word_sorting": ("original_words", "direction"),
    }
)

__all__ = ["FIELDS", "VERIFIERS", "Fault"]
