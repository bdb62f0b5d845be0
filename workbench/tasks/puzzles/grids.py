"""Puzzles on grids: Sudoku of any size, shortest paths."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.tasks.puzzles.fault import Fault, quoted, unreadable, wrong

_STEPS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
_MOST_STEPS = 10_000


def sudoku(puzzle: Mapping[str, Any], answer: str) -> Fault | None:
    """The `grid`, in which 0 is empty, filled by the rules. Signs between the numbers do not count."""
    given = puzzle["grid"]
    size = len(given)
    rows = [[int(number[:4]) for number in re.findall("[0-9]+", line)] for line in answer.splitlines()]
    rows = [row for row in rows if row]
    if len(rows) != size or any(len(row) != size for row in rows):
        return unreadable(f"Write {size} lines of {size} numbers, separated by spaces, and nothing else.")
    for where, cells in _groups(rows):
        for number in cells:
            if not 1 <= number <= size:
                return wrong(f"{where} contains {quoted(number)}; only 1 to {size} are allowed.")
        repeated = next((number for number in cells if cells.count(number) > 1), None)
        if repeated is not None:
            return wrong(f"{where} contains {repeated} more than once.")
    for row, (line, numbers) in enumerate(zip(given, rows, strict=True), start=1):
        for column, (clue, number) in enumerate(zip(line, numbers, strict=True), start=1):
            if clue and clue != number:
                return wrong(f"Row {row}, column {column} was given as {clue}, and is {number} in the answer.")
    return None


def _groups(rows: Sequence[Sequence[int]]) -> Iterator[tuple[str, list[int]]]:
    size, box = len(rows), math.isqrt(len(rows))
    for index in range(size):
        yield f"Row {index + 1}", list(rows[index])
        yield f"Column {index + 1}", [row[index] for row in rows]
    for top in range(0, size, box):
        for left in range(0, size, box):
            cells = [rows[top + down][left + across] for down in range(box) for across in range(box)]
            yield f"The box at row {top + 1}, column {left + 1}", cells


def shortest_path(puzzle: Mapping[str, Any], answer: str) -> Fault | None:
    """Steps from * to # through the open cells O of `matrix`, as few as possible; "infeasible" where there are none."""
    matrix = puzzle["matrix"]
    start, goal = _find(matrix, "*"), _find(matrix, "#")
    fewest = _fewest_steps(matrix, start, goal)
    steps = answer.lower().replace(",", " ").split()[:_MOST_STEPS]
    if steps == ["infeasible"]:
        return None if fewest is None else wrong("There is a path from * to #.")
    if not steps or any(step not in _STEPS for step in steps):
        return unreadable('Write the directions alone (up, down, left, right), separated by spaces, or "infeasible".')
    row, column = start
    for number, step in enumerate(steps, start=1):
        row, column = row + _STEPS[step][0], column + _STEPS[step][1]
        if not (0 <= row < len(matrix) and 0 <= column < len(matrix[row])):
            return wrong(f"Step {number} ({step}) leaves the grid.")
        if matrix[row][column] == "X":
            return wrong(f"Step {number} ({step}) leads into a blocked cell.")
    if (row, column) != goal:
        return wrong(f"The path ends in row {row + 1}, column {column + 1}, and not at #.")
    return None if len(steps) == fewest else wrong(f"The path reaches # in {len(steps)} steps; there is a shorter one.")


def _find(matrix: Sequence[Sequence[str]], sign: str) -> tuple[int, int]:
    return next((row, line.index(sign)) for row, line in enumerate(matrix) if sign in line)


def _fewest_steps(matrix: Sequence[Sequence[str]], start: tuple[int, int], goal: tuple[int, int]) -> int | None:
    distances, waiting = {start: 0}, deque([start])
    while waiting:
        row, column = waiting.popleft()
        for down, right in _STEPS.values():
            cell = (row + down, column + right)
            inside = 0 <= cell[0] < len(matrix) and 0 <= cell[1] < len(matrix[cell[0]])
            if inside and matrix[cell[0]][cell[1]] != "X" and cell not in distances:
                distances[cell] = distances[row, column] + 1
                waiting.append(cell)
    return distances.get(goal)
