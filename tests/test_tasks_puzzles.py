"""Verifiers of puzzles: what passes, and the sentence about what does not."""

from __future__ import annotations

import pytest

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks import check_task, judge

GIVEN = [[2, 0, 0, 3], [0, 0, 1, 0], [1, 0, 3, 0], [3, 0, 2, 1]]
SOLVED = "2 1 4 3\n4 3 1 2\n1 2 3 4\n3 4 2 1"
MATRIX = [list("XOO#O"), list("XXOOO"), list("XOOXO"), list("OX*OO")]
CLOSED = [list("*X"), list("X#")]
PUZZLES = {
    "countdown": {"numbers": [6, 61, 94, 4], "target": 309},
    "word_sorting": {"original_words": ["Only", "federal", "apple"], "direction": "descending"},
    "number_sorting": {"original_numbers": ["14.0", "-49.0", "52.2"], "direction": "ascending"},
    "prime_factorization": {"number": 12},
    "mini_sudoku": {"grid": GIVEN},
    "shortest_path": {"matrix": MATRIX},
    "tower_of_hanoi": {"num_disks": 2, "num_pegs": 3, "start_peg": 1, "target_peg": 3, "solution_length": 3},
    "jugs": {"jug_capacities": [3, 5], "target": 4},
    "graph_color": {"vertices": [0, 1, 2], "edges": [[0, 1], [1, 2]], "color_options": [1, 2]},
}
HANOI = "Move disk 1 from Peg 1 to Peg 2\nMove disk 2 from Peg 1 to Peg 3\nMove disk 1 from Peg 2 to Peg 3"
BACK = "Move disk 1 from Peg 3 to Peg 2\nMove disk 1 from Peg 2 to Peg 3"
LADDER = {"start_word": "TIPS", "end_word": "TOPS"}


def task(puzzle: str, **more: object) -> Task:
    return Task("p/1", "Q", "puzzle", {"puzzle": puzzle, **PUZZLES.get(puzzle, {}), **more})


@pytest.mark.parametrize(
    ("puzzle", "answer"),
    [
        ("countdown", "94*4 - 61 - 6"),
        ("countdown", "I think…\n<answer> 94 × 4 − (61 + 6) </answer>"),
        ("countdown", "```\n-6 + 94*4/1*1 - 61\n```".replace("/1*1", "")),
        ("word_sorting", "federal, apple, Only"),
        ("number_sorting", "['-49', \"14\", '52.20']"),
        ("prime_factorization", "3 × 2 x 2"),
        ("mini_sudoku", SOLVED),
        ("mini_sudoku", "| 2 | 1 | 4 | 3 |\n\n| 4 | 3 | 1 | 2 |\n1,2,3,4\n3 4 2 1\n"),
        ("shortest_path", "up right up up".replace("right up up", "up right up")),
        ("shortest_path", "UP, up, right, up"),
        ("tower_of_hanoi", HANOI),
        ("tower_of_hanoi", HANOI.lower().replace("\n", ".\n\n")),
        ("jugs", '["fill B", "pour B->A", "empty A", "pour B -> A", "fill B", "pour B->A"]'),
        ("graph_color", '```json\n{"0": 1, "1": 2, "2": 1}\n```'),
    ],
)  # fmt: skip
def test_an_answer_that_breaks_no_rule_passes(puzzle: str, answer: str) -> None:
    verdict = judge(task(puzzle), answer)
    assert verdict.passed and verdict.feedback == "", verdict.feedback
    assert verdict.details["read_as"]


@pytest.mark.parametrize(
    ("puzzle", "answer", "kind", "says"),
    [
        ("countdown", "94*4 - 61 - 6 = 309", "format", "without '='"),
        ("countdown", "__import__('os').system('id')", "format", "one arithmetic expression"),
        ("countdown", "94*4 - (61", "format", "cannot be read"),
        ("countdown", "9**9**9**9", "format", "cannot be read"),
        ("countdown", "(" * 250 + "4" + ")" * 40, "format", "cannot be read"),
        ("countdown", "4//6", "format", "cannot be read"),
        ("countdown", "94/(4-4)", "outcome", "divides by zero"),
        ("countdown", "94*4 - 61 - 6 - 4", "outcome", "The number 4 is used 2 times, but is given 1 times."),
        ("countdown", "309", "outcome", "The number 309 is used, but is not among the given ones."),
        ("countdown", "94*4 - 61", "outcome", "Not all numbers are used: 6 is missing."),
        ("countdown", "94/4 - 61 - 6", "outcome", "makes -43.5, not 309"),
        ("word_sorting", "apple, federal, Only", "outcome", "'apple' stands before 'federal'"),
        ("word_sorting", "federal, apple", "outcome", "The word 'Only' is missing."),
        ("word_sorting", "federal, apple, Only, pear", "outcome", "'pear' is there too often, or was not given"),
        ("word_sorting", "federal,, apple, Only", "format", "separated by commas"),
        ("number_sorting", "['52.2', '14', '-49']", "outcome", "52.2 stands before 14 (places 1 and 2)"),
        ("number_sorting", "['-49', '14.5', '52.2']", "outcome", "The number 14 is missing"),
        ("number_sorting", "['-49', '14', '14', '52.2']", "outcome", "14 too often"),
        ("number_sorting", "-49, 14, 52.2", "format", "Write a list"),
        ("number_sorting", "['a', '14', '52.2']", "format", "other than decimal numbers"),
        ("number_sorting", "['1e999999999', '14', '52.2']", "format", "other than decimal numbers"),
        ("prime_factorization", "×".join(["999999937"] * 65), "format", "separated by ×"),
        ("mini_sudoku", SOLVED.replace("2 1 4 3", "2 1 4 " + "9" * 5000), "outcome", "Row 1 contains 9999"),
        ("number_sorting", "['1/0', '14', '52.2']", "format", "other than decimal numbers"),
        ("prime_factorization", "3 × 4", "outcome", "4 is not a prime"),
        ("prime_factorization", "2 × 3", "outcome", "multiply to 6, not to 12"),
        ("prime_factorization", "2^2 × 3", "format", "separated by ×"),
        ("mini_sudoku", SOLVED.replace("2 1 4 3", "2 1 4 4"), "outcome", "Row 1 contains 4 more than once"),
        ("mini_sudoku", "2 1 4 3\n1 2 3 4\n4 3 1 2\n3 4 2 1", "outcome", "The box at row 1, column 1 contains 2 more"),
        ("mini_sudoku", "1 2 4 3\n4 3 1 2\n2 1 3 4\n3 4 2 1", "outcome", "Row 1, column 1 was given as 2"),
        ("mini_sudoku", SOLVED.replace("2 1 4 3", "2 1 4 7"), "outcome", "Row 1 contains 7; only 1 to 4"),
        ("mini_sudoku", SOLVED[:-8], "format", "4 lines of 4 numbers"),
        ("shortest_path", "up up left", "outcome", "Step 3 (left) leads into a blocked cell."),
        ("shortest_path", "down", "outcome", "Step 1 (down) leaves the grid."),
        ("shortest_path", "up up", "outcome", "ends in row 2, column 3"),
        ("shortest_path", "up up right right left up", "outcome", "6 steps; there is a shorter one"),
        ("shortest_path", "infeasible", "outcome", "There is a path"),
        ("shortest_path", "north", "format", "directions alone"),
        ("tower_of_hanoi", HANOI.replace("Peg 2\nMove", "Peg 3\nMove", 1), "outcome", "disk 2 on the smaller disk 1"),
        ("tower_of_hanoi", HANOI.partition("\n")[0], "outcome", "not all disks are on peg 3"),
        ("tower_of_hanoi", f"{HANOI}\n{BACK}", "outcome", "5 moves"),
        ("tower_of_hanoi", "Move disk 2 from Peg 1 to Peg 3", "outcome", "disk 2 is not on top of peg 1"),
        ("tower_of_hanoi", "Move disk 1 from Peg 1 to Peg 9", "outcome", "a peg that does not exist"),
        ("tower_of_hanoi", f"First:\n{HANOI}", "format", "Line 1 is 'First:'"),
        ("tower_of_hanoi", "", "format", "line of its own"),
        ("jugs", '["fill A", "pour A->B"]', "outcome", "no jug holds 4 litres (A: 0, B: 3)"),
        ("jugs", '["fill C"]', "outcome", "names the jug C"),
        ("jugs", '["spill A"]', "format", "Move 1 is 'spill A'"),
        ("jugs", "fill A", "format", "JSON list"),
        ("graph_color", '{"0": 1, "1": 1, "2": 2}', "outcome", "Vertices 0 and 1 are connected"),
        ("graph_color", '{"0": 1, "1": 2}', "outcome", "Vertex 2 has no colour"),
        ("graph_color", '{"0": 1, "1": true, "2": 1}', "outcome", "Vertex 1 has the colour True"),
        ("graph_color", "[" * 9999, "format", "JSON object"),
    ],
)  # fmt: skip
def test_the_first_broken_rule_is_the_feedback(puzzle: str, answer: str, kind: str, says: str) -> None:
    verdict = judge(task(puzzle), answer)
    assert not verdict.passed and [part.kind for part in verdict.parts] == [kind]
    assert says in verdict.feedback, verdict.feedback


def test_kinds_of_feedback_are_chosen_and_a_path_may_not_exist() -> None:
    quiet = task("countdown", feedback="format")
    assert judge(quiet, "4").feedback == "" and "one arithmetic" in judge(quiet, "four").feedback
    closed = Task("p/1", "Q", "puzzle", {"puzzle": "shortest_path", "matrix": CLOSED})
    assert judge(closed, "infeasible").passed and "blocked" in judge(closed, "down right").feedback


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"puzzle": "chess"},
        {"puzzle": "sudoku", "grid": 4},
        {"puzzle": "shortest_path", "matrix": [["O"]]},
    ],
)
def test_a_puzzle_without_its_fields_is_refused(answer: dict) -> None:
    with pytest.raises(TaskError, match="Judging by 'puzzle' needs puzzle: one of countdown"):
        check_task(Task("p/1", "Q", "puzzle", answer))
    with pytest.raises(TaskError, match="'countdown' lacks numbers; it needs the fields numbers, target"):
        check_task(Task("p/1", "Q", "puzzle", {"puzzle": "countdown", "target": 3}))


def test_a_word_ladder_is_judged_by_the_package_s_list() -> None:
    pytest.importorskip(
        "reasoning_gym.data", reason="reasoning-gym is not installed: pip install sdpo-workbench[packs]"
    )
    ladder = Task("p/1", "Q", "puzzle", {"puzzle": "word_ladder", **LADDER})
    assert judge(ladder, "tips, TOPS").passed
    for answer, says in (
        ("TIPS", "from the first to the last"),
        ("TOPS, TIPS", "begins with 'TOPS'"),
        ("TIPS, TIPZ, TOPZ, TOPS", "TIPZ is not a word"),
        ("TIPS, TOPE, TOPS", "2 letters change"),
        ("TIPS, TOP, TOPS", "does not have 4 letters"),
        ("TIPS, LIPS", "ends with LIPS"),
    ):
        assert says in judge(ladder, answer).feedback
