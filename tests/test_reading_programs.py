"""Finding the program in an attempt's text: fences of every form, several blocks, texts without any."""

from __future__ import annotations

import time

import pytest

from workbench.tasks.reading.programs import fenced_blocks, read_program

PROGRAM = "def f(x):\n    return x + 1\n"
DRAFT = "def f(x):\n    return x\n"


def indented(text: str, by: str) -> str:
    return "".join(by + line for line in text.splitlines(keepends=True))


@pytest.mark.parametrize(
    "text",
    [
        PROGRAM,
        f"```python\n{PROGRAM}```",
        f"```\n{PROGRAM}```",
        f"~~~ python\n{PROGRAM}~~~\nDone.",
        f"`````python\n{PROGRAM}`````",
        f"```python3\n{PROGRAM}```\nDone.",
        f"```py\n{PROGRAM}```",
        f'``` Python title="f.py"\n{PROGRAM}```',
        f"```{{.python .numberLines}}\n{PROGRAM}```",
        f"```python\n{PROGRAM}",  # cut at the limit
        f"```python\n{PROGRAM}``",  # cut within the fence
        f"{PROGRAM}```",  # closing fence only
        f"{PROGRAM}```\nThis adds one.",
        f"Here it is:\n{PROGRAM}```\nThis adds one.",
        f"1. Code:\n   ```python\n{indented(PROGRAM, '   ')}   ```\n",
        f"1. ```python\n{indented(PROGRAM, '   ')}   ```\n",
        f"- a\n  - b\n\n    ```py\n{indented(PROGRAM, '    ')}    ```\n",
        f"> ```python\n{indented(PROGRAM, '> ')}> ```\n",
        f"\t```python\n{indented(PROGRAM, chr(9))}\t```\n",
        f"```python\n{indented(PROGRAM, '    ')}```\n",
        f"Sure! ```python\n{PROGRAM}```",
        f"````markdown\nText\n```python\n{PROGRAM}```\n````",
        f"```markdown\nText\n```python\n{PROGRAM}```\n```",
        f"Install:\n```bash\npip install foo\n```\nThen:\n```python\n{PROGRAM}```\n",
        f"```python\n{PROGRAM}```\nRun it:\n```sh\npython f.py\n```\n```\n2\n```\n```text\n[2, 3]\n```",
        f"```python\n{DRAFT}```\nThat is wrong. Fixed:\n```python\n{PROGRAM}```",
        f"```python\n{DRAFT}```\nFixed:\n```\n{PROGRAM}```",
        f"```python\n{PROGRAM}```\nUse it:\n```python\nprint(f(1))\n```".replace("print(f(1))", "assert True"),
        f"<answer>\n```python\n{PROGRAM}```</answer>",
        f"<answer>```python\n{PROGRAM}```</answer>\nDone.",
        f"```python\n{PROGRAM}```\nUse it:\n```python\n>>> f(1)\n2\n```",
        f"```python\n{PROGRAM}```\nA longer version:\n```python\ndef f(x):\n    return (x +",
        f"```text\n{PROGRAM}```",
        f"Here is the program:\n\n{PROGRAM}",
        f"Here is the program:\n\n{PROGRAM}\nIt adds one: f(1) is 2.",
        f"```cpp\nint f(int x) {{ return x + 1; }}\n```\n```python\n{PROGRAM}```",
    ],
)
def test_the_program_is_found_in_any_form(text: str) -> None:
    for ending in ("\n", "\r\n"):
        found = read_program(text.replace("\n", ending), ["f"])
        assert found is not None and found.replace("\r\n", "\n").strip() == PROGRAM.strip()


@pytest.mark.parametrize(
    "text", ["", "  \n", "I do not know.", "```bash\nls\n```", "```cpp\nint f;\n```", "The answer is 4: it adds one."]
)
def test_there_may_be_no_program(text: str) -> None:
    assert read_program(text, ["f"]) is None
    assert read_program(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(input())\n```\nFor 3 it prints:\n```\n3\n```\n```output\n3\n```",
        "```python\nprint(0)\n```\nNo:\n```python\nprint(input())\n```",
        "```\nprint(input())\n```\n\n```\nYES\n```",
        "print(input())\n```\nIt echoes.",
        "The program:\nprint(input())\n",
        "```python\nprint(input())\n```\n```console\n$ python program.py\n3\n```",
    ],
)
def test_of_scripts_the_last_block_that_does_something_counts(text: str) -> None:
    found = read_program(text)
    assert found is not None and found.strip() == "print(input())"


def test_blocks_that_depend_on_each_other_are_joined() -> None:
    helper, main = "def g(x):\n    return x + 1\n", "print(g(int(input())))\n"
    assert read_program(f"```python\n{helper}```\nand\n```python\n{main}```") == helper + main
    reading = "n = int(input())\n"
    assert read_program(f"```python\n{reading}```\nand\n```python\nprint(n)\n```") == reading + "print(n)\n"
    imports = "from math import *\n"
    assert read_program(f"```python\n{imports}```\n```python\nprint(gcd(4, 6))\n```") == imports + "print(gcd(4, 6))\n"
    user = "def f(x):\n    return g(x)\n"
    for blocks in ((helper, user), (user, helper)):  # of functions the order does not matter
        found = read_program("".join(f"```python\n{block}```\n" for block in blocks), ["f"])
        assert found == helper + user


def test_a_script_that_stands_by_itself_is_not_joined_with_a_draft_or_a_usage() -> None:
    whole = "def solve():\n    print(input())\nif __name__ == '__main__':\n    solve()\n"
    assert read_program(f"```python\n{whole}```\nThen call it:\n```python\nsolve()\n```") == whole
    draft = "import sys\nprint(sys.stdin.read() + 'x')\n"
    fixed = "import sys\nprint(sys.stdin.read())\n"
    assert read_program(f"```python\n{draft}```\nbetter\n```python\n{fixed}```") == fixed


def test_classes_and_imported_names_define_what_is_tested() -> None:
    solution = "class Solution:\n    def f(self, x):\n        return x\n"
    other = "class Other:\n    def g(self):\n        return 1\n"
    text = f"```python\n{solution}```\n```python\n{other}```"
    assert read_program(text, ["f"]) == solution
    assert read_program(text, ["Solution.f"]) == solution
    assert read_program(text, ["Other.g"]) == other


def test_where_nothing_fits_the_piece_whose_error_helps_is_read() -> None:
    broken = "def f(x):\n    return (x\n"
    assert read_program(f"```python\n{broken}```\n```python\nimport math\n```", ["f"]) == broken
    assert read_program("```python\ndef g(x):\n    return x\n```", ["f"]) == "def g(x):\n    return x\n"
    assert read_program(broken, ["f"]) == broken


def test_a_text_without_fences_can_be_taken_as_it_is() -> None:
    text = f"Well:\n{PROGRAM}"
    assert read_program(text, ["f"], trim=False) == text


def test_blocks_are_those_of_the_specification() -> None:
    text = "```python\na\n````\nb\n~~~\n```\n~~~\n``` x`y\n```a b\nc\n~~~\n```"
    assert [(block.language, block.text) for block in fenced_blocks(text)] == [
        ("python", "a\n"),  # a longer closing fence
        ("", "```\n"),  # one character's fence does not close another's
        ("a", "c\n~~~\n"),  # "``` x`y" is no fence: a back-tick is in its info
    ]


def test_hostile_texts_take_no_time() -> None:
    started = time.process_time()
    for text in ("def f(\n" * 3000, "```\n" * 5000, "x = 1\nprose here\n" * 2000, "(" * 20000, "> " * 20000 + "```"):
        read_program(text, ["g"])
    assert time.process_time() - started < 3
