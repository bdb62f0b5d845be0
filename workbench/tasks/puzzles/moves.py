"""Puzzles solved by a sequence of moves: the tower of Hanoi, jugs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workbench.tasks.puzzles.fault import Fault, parsed, quoted, unreadable, wrong

_HANOI = re.compile(r"move disk (\d{1,3}) from peg (\d{1,3}) to peg (\d{1,3})\.?", re.IGNORECASE)
_JUGS = re.compile(r"(fill|empty) ([A-Z])|pour ([A-Z])\s*->\s*([A-Z])")


def tower_of_hanoi(puzzle: Mapping[str, Any], answer: str) -> Fault | None:
    """Moves of `num_disks` disks from `start_peg` to `target_peg`, as few as `solution_length`."""
    pegs: dict[int, list[int]] = {peg: [] for peg in range(1, puzzle["num_pegs"] + 1)}
    pegs[puzzle["start_peg"]] = list(range(puzzle["num_disks"], 0, -1))
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    if not lines:
        return unreadable("Write each move on a line of its own: Move disk X from Peg Y to Peg Z.")
    for number, line in enumerate(lines, start=1):
        move = _HANOI.fullmatch(line)
        if move is None:
            return unreadable(
                f"Line {number} is {quoted(line)}; write Move disk X from Peg Y to Peg Z, and nothing else."
            )
        disk, source, target = map(int, move.groups())
        if source not in pegs or target not in pegs:
            return wrong(f"Move {number} names a peg that does not exist.")
        if not pegs[source] or pegs[source][-1] != disk:
            return wrong(f"Move {number}: disk {disk} is not on top of peg {source}.")
        if pegs[target] and pegs[target][-1] < disk:
            return wrong(f"Move {number} puts disk {disk} on the smaller disk {pegs[target][-1]}.")
        pegs[target].append(pegs[source].pop())
    if len(pegs[puzzle["target_peg"]]) != puzzle["num_disks"]:
        return wrong(f"In the end, not all disks are on peg {puzzle['target_peg']}.")
    if len(lines) > puzzle["solution_length"]:
        return wrong(f"It is solved in {len(lines)} moves, but {puzzle['solution_length']} are enough.")
    return None


def jugs(puzzle: Mapping[str, Any], answer: str) -> Fault | None:
    """Moves after which one of the jugs of `jug_capacities` litres holds `target`; all are empty at first."""
    capacities = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", puzzle["jug_capacities"], strict=False))
    held = dict.fromkeys(capacities, 0)
    moves = parsed(answer)
    if not isinstance(moves, list) or not all(isinstance(move, str) for move in moves):
        return unreadable('Write a JSON list of moves, such as ["fill A", "pour A->B"].')
    for number, move in enumerate(moves, start=1):
        read = _JUGS.fullmatch(move.strip())
        if read is None:
            return unreadable(f'Move {number} is {quoted(move)}; write "fill A", "empty A" or "pour A->B".')
        verb, jug, source, target = read.groups()
        unknown = {jug, source, target} - {None} - set(capacities)
        if unknown:
            return wrong(f"Move {number} names the jug {min(map(str, unknown))}, which does not exist.")
        if verb:
            held[jug] = capacities[jug] if verb == "fill" else 0
        elif source != target:
            poured = min(held[source], capacities[target] - held[target])
            held[source], held[target] = held[source] - poured, held[target] + poured
    if puzzle["target"] in held.values():
        return None
    amounts = ", ".join(f"{jug}: {amount}" for jug, amount in held.items())
    return wrong(f"In the end no jug holds {puzzle['target']} litres ({amounts}).")
