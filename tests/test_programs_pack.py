"""The project's own pack of programs: every task has a right answer, and the tests tell it from a nearly right one."""

from __future__ import annotations

from workbench.tasks import check_task, find_pack, judge_many, load_pack

# A right program for each task, and a text of it with what makes it wrong.
SOLUTIONS: dict[str, tuple[str, tuple[str, str]]] = {
    "rain-gauge": (
        "import sys\nn, *xs = map(int, sys.stdin.read().split())\nprint(sum(xs), max(xs))\n",
        ("sys.stdin.read()", "(input() + ' ' + input())"),  # numbers may stand on several lines
    ),
    "word-mirror": ("print(' '.join(word[::-1] for word in input().split()))\n", ("word[::-1]", "word.title()[::-1]")),
    "mean-temperature": (
        "n = int(input())\nxs = list(map(float, input().split()))\nprint(sum(xs) / n)\n",
        ("sum(xs) / n", "round(sum(xs) / n, 2)"),
    ),
    "garden-paths": (
        "h, w = map(int, input().split())\nrow = [1] + [0] * (w - 1)\nfor _ in range(h):\n"
        "    for c, cell in enumerate(input()):\n"
        "        row[c] = 0 if cell == '#' else row[c] + (row[c - 1] if c else 0)\n"
        "print(row[-1])\n",
        ("0 if cell == '#' else ", ""),
    ),
    "longest-run": (
        "from itertools import groupby\nprint(max(len(list(run)) for _, run in groupby(input().strip())))\n",
        ("max(len(list(run)) for", "max(min(9, len(list(run))) for"),
    ),
    "bracket-depth": (
        "depth = deepest = lowest = 0\nfor c in input():\n    depth += 1 if c == '(' else -1\n"
        "    deepest = max(deepest, depth)\n    lowest = min(lowest, depth)\n"
        "print(-1 if depth or lowest < 0 else deepest)\n",
        (" or lowest < 0", ""),
    ),
    "long-power": ("a, n = map(int, input().split())\nprint(a ** n)\n", ("a ** n", "int(float(a) ** min(n, 99))")),
    "join-spans": (
        "class Solution:\n    def joinSpans(self, spans: List[List[int]]) -> List[List[int]]:\n        joined = []\n"
        "        for begin, end in sorted(spans):\n            if joined and begin <= joined[-1][1]:\n"
        "                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))\n            else:\n"
        "                joined.append((begin, end))\n        return joined\n",
        ("max(end, joined[-1][1])", "end"),
    ),
    "in-both": (
        "def inBoth(first, second):\n    return sorted(set(first) & set(second))\n",
        ("sorted(set(first) & set(second))", "[x for x in first if x in second]"),
    ),
    "quarter-turn": (
        "class Solution:\n    def quarterTurn(self, matrix):\n        return zip(*matrix[::-1])\n",
        ("matrix[::-1]", "matrix"),
    ),
    "tally-runs": (
        "def tallyRuns(text):\n    return [(c, len(list(run))) for c, run in groupby(text)]\n",
        ("[(c, len(list(run))) for c, run in groupby(text)]", "list(Counter(text).items())"),
    ),
    "stepping-stones": (
        "def steppingStones(reach):\n    jumps = [0] + [inf] * (len(reach) - 1)\n    for i, far in enumerate(reach):\n"
        "        for j in range(i + 1, min(i + far + 1, len(reach))):\n"
        "            jumps[j] = min(jumps[j], jumps[i] + 1)\n"
        "    return -1 if jumps[-1] == inf else jumps[-1]\n",
        ("-1 if jumps[-1] == inf else jumps[-1]", "jumps[-1]"),
    ),
}


def test_right_programs_pass_and_nearly_right_ones_do_not() -> None:
    tasks = load_pack("programs")
    assert [task.id.partition("/")[2] for task in tasks] == list(SOLUTIONS)
    pairs = []
    for task in tasks:
        check_task(task)
        right, (text, instead) = SOLUTIONS[task.id.partition("/")[2]]
        assert text in right
        pairs += [(task, f"```python\n{right}```"), (task, f"```python\n{right.replace(text, instead)}```")]
    judgements = judge_many(pairs)
    passed: dict[str, list[bool]] = {task.id: [] for task in tasks}
    for (task, _), judgement in zip(pairs, judgements, strict=True):
        passed[task.id].append(judgement.passed)
    assert passed == {task.id: [True, False] for task in tasks}


def test_its_tests_are_public_and_hidden_and_its_tasks_on_both_sides() -> None:
    for task in load_pack("programs"):
        assert {bool(test.get("hidden")) for test in task.answer["tests"]} == {True, False}
    pack = find_pack("programs")
    assert len(pack.train(99)) + len(pack.held_out(99)) == 12 and pack.held_out(99)
