"""What reviewers and people say about a convention: canonical remarks, paraphrases, and paraphrases kept apart.

A reviewer's remark is the house's rule in the world's own words ("sort descending. take from the end."). People
say the same thing in many ways; `HELD_OUT` ways are never in the corpus, so that understanding them is measured.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from workbench.tasks.house_rules.world import Specification, Step

# (stage, choice) → the reviewer's words; {k} is the stage's number.
REMARKS: dict[tuple[str, str], str] = {
    ("sort", "ascending"): "sort ascending",
    ("sort", "descending"): "sort descending",
    ("take", "front"): "take from the front",
    ("take", "end"): "take from the end",
    ("drop", "front"): "drop from the front",
    ("drop", "end"): "drop from the end",
    ("parity", "even"): "keep the even ones",
    ("parity", "odd"): "keep the odd ones",
    ("shift", "up"): "shift up",
    ("shift", "down"): "shift down",
    ("scale", "multiply"): "scale by multiplying",
    ("scale", "divide"): "scale by dividing",
    ("limit", "below"): "keep what is below the limit",
    ("limit", "at most"): "keep what is at most the limit",
    ("limit", "above"): "keep what is above the limit",
    ("clip", "maximum"): "clip from above",
    ("clip", "minimum"): "clip from below",
    ("best", "largest"): "the best is the largest",
    ("best", "smallest"): "the best is the smallest",
}

PARAPHRASES: dict[tuple[str, str], tuple[str, ...]] = {
    ("sort", "ascending"): (
        "smallest first",
        "sort from small to large",
        "sort upwards",
        "put the smallest number first",
        "order them from low to high",
        "sort in ascending order",
        "sort in increasing order",
        "lowest first",
        "use increasing order",
        "the order should be ascending",
        "start with the smallest",
        "do not reverse the sort",
    ),
    ("sort", "descending"): (
        "largest first",
        "sort from large to small",
        "sort downwards",
        "put the largest number first",
        "order them from high to low",
        "sort in descending order",
        "sort in decreasing order",
        "highest first",
        "use decreasing order",
        "the order should be descending",
        "start with the largest",
        "reverse the sort",
    ),
    ("take", "front"): (
        "take the first {k}",
        "take them from the start",
        "take the first ones",
        "use the first {k} items",
        "take {k} from the beginning",
        "take at the front",
        "we take the first {k} numbers",
        "take the leading {k}",
        "take from the left",
        "when you take {k} start at the front",
    ),
    ("take", "end"): (
        "take the last {k}",
        "take them from the back",
        "take the last ones",
        "use the last {k} items",
        "take {k} from the end of the list",
        "take at the end",
        "we take the last {k} numbers",
        "take the trailing {k}",
        "take from the right",
        "when you take {k} start at the end",
    ),
    ("drop", "front"): (
        "drop the first {k}",
        "drop them from the start",
        "remove the first {k}",
        "drop the first ones",
        "remove {k} from the beginning",
        "drop at the front",
        "throw away the first {k} numbers",
        "drop the leading {k}",
        "drop from the left",
        "skip the first {k}",
    ),
    ("drop", "end"): (
        "drop the last {k}",
        "drop them from the back",
        "remove the last {k}",
        "drop the last ones",
        "remove {k} from the end of the list",
        "drop at the end",
        "throw away the last {k} numbers",
        "drop the trailing {k}",
        "drop from the right",
        "cut off the last {k}",
    ),
    ("parity", "even"): (
        "only even numbers",
        "keep even numbers",
        "pick the even ones",
        "we want the even numbers",
        "the parity is even",
        "use the even numbers",
        "parity means even",
        "remove the odd ones",
        "pick even",
        "throw away the odd numbers",
    ),
    ("parity", "odd"): (
        "only odd numbers",
        "keep odd numbers",
        "pick the odd ones",
        "we want the odd numbers",
        "the parity is odd",
        "use the odd numbers",
        "parity means odd",
        "remove the even ones",
        "pick odd",
        "throw away the even numbers",
    ),
    ("shift", "up"): (
        "add {k}",
        "shift upwards",
        "shift means plus",
        "add {k} to each number",
        "increase each number by {k}",
        "make the numbers larger by {k}",
        "shift by adding",
        "plus {k}",
        "move the numbers up",
        "shift towards higher",
    ),
    ("shift", "down"): (
        "subtract {k}",
        "shift downwards",
        "shift means minus",
        "subtract {k} from each number",
        "decrease each number by {k}",
        "make the numbers smaller by {k}",
        "shift by subtracting",
        "minus {k}",
        "move the numbers down",
        "shift towards lower",
    ),
    ("scale", "multiply"): (
        "multiply by {k}",
        "scale up",
        "scale means times",
        "multiply each number by {k}",
        "times {k}",
        "make the numbers {k} times as large",
        "use multiplication to scale",
        "scale upwards",
        "scale with a product",
    ),
    ("scale", "divide"): (
        "divide by {k}",
        "scale down",
        "scale means divided by",
        "divide each number by {k}",
        "divided by {k}",
        "make the numbers {k} times as small",
        "use division to scale",
        "scale downwards",
        "scale with a quotient",
    ),
    ("limit", "below"): (
        "keep numbers less than {k}",
        "only numbers below {k}",
        "strictly below {k}",
        "remove {k} and above",
        "the limit is exclusive",
        "keep those smaller than {k}",
        "the limit itself is out",
        "less than {k}",
        "under {k}",
        "leave out the limit itself",
    ),
    ("limit", "at most"): (
        "keep numbers up to {k}",
        "only numbers at most {k}",
        "{k} or less",
        "remove what is above {k}",
        "the limit is inclusive",
        "keep those not larger than {k}",
        "the limit itself is in",
        "less than or equal to {k}",
        "up to and including {k}",
        "keep the limit itself",
    ),
    ("limit", "above"): (
        "keep numbers greater than {k}",
        "only numbers above {k}",
        "strictly above {k}",
        "remove {k} and below",
        "the limit is a lower one",
        "keep those larger than {k}",
        "over {k}",
        "greater than {k}",
        "more than {k}",
        "keep the large ones",
    ),
    ("clip", "maximum"): (
        "clip large values",
        "nothing above {k}",
        "no number may exceed {k}",
        "use min to clip",
        "cap the values at {k}",
        "{k} is the maximum",
        "clip at the top",
        "limit the high side",
        "lower the large values to {k}",
        "a ceiling of {k}",
    ),
    ("clip", "minimum"): (
        "clip small values",
        "nothing below {k}",
        "no number may be under {k}",
        "use max to clip",
        "raise the values to {k}",
        "{k} is the minimum",
        "clip at the bottom",
        "limit the low side",
        "raise the small values to {k}",
        "a floor of {k}",
    ),
    ("best", "largest"): (
        "best means the largest",
        "the best is the maximum",
        "return the largest",
        "pick the largest",
        "best means max",
        "the highest is the best",
        "return the maximum",
        "we want the largest as the best",
        "bigger is better",
        "use max for the best",
    ),
    ("best", "smallest"): (
        "best means the smallest",
        "the best is the minimum",
        "return the smallest",
        "pick the smallest",
        "best means min",
        "the lowest is the best",
        "return the minimum",
        "we want the smallest as the best",
        "smaller is better",
        "use min for the best",
    ),
}

# Never in the corpus: new sentences from words that the corpus has.
HELD_OUT: dict[tuple[str, str], tuple[str, ...]] = {
    ("sort", "ascending"): ("the sort should put the lowest first", "sort so that the numbers go from low to high"),
    ("sort", "descending"): ("the sort should put the highest first", "sort so that the numbers go from high to low"),
    ("take", "front"): ("you should take the first numbers", "take {k} at the beginning of the list"),
    ("take", "end"): ("you should take the last numbers", "take {k} at the back of the list"),
    ("drop", "front"): ("throw away {k} at the start", "when you drop start at the front"),
    ("drop", "end"): ("throw away {k} at the back", "when you drop start at the end"),
    ("parity", "even"): ("we want only the even ones", "throw away what is odd"),
    ("parity", "odd"): ("we want only the odd ones", "throw away what is even"),
    ("shift", "up"): ("increase the numbers by {k}", "shift should add to each number"),
    ("shift", "down"): ("decrease the numbers by {k}", "shift should subtract from each number"),
    ("scale", "multiply"): ("scale should multiply", "the numbers should be times {k}"),
    ("scale", "divide"): ("scale should divide", "the numbers should be divided by {k}"),
    ("limit", "below"): ("the numbers should be less than {k}", "we want numbers strictly smaller than {k}"),
    ("limit", "at most"): ("the numbers should be {k} or less", "we want those up to and including {k}"),
    ("limit", "above"): ("the numbers should be greater than {k}", "we want numbers strictly larger than {k}"),
    ("clip", "maximum"): ("{k} should be the maximum when you clip", "clip so that nothing is above {k}"),
    ("clip", "minimum"): ("{k} should be the minimum when you clip", "clip so that nothing is below {k}"),
    ("best", "largest"): ("the best should be the largest", "by best we mean the maximum"),
    ("best", "smallest"): ("the best should be the smallest", "by best we mean the minimum"),
}

OPENINGS = (
    "",
    "",
    "",
    "",
    "please ",
    "you should ",
    "I want you to ",
    "no, ",
    "wrong: ",
    "here we ",
    "in this house we ",
    "remember to ",
    "it must be: ",
    "rule: ",
    "my rule: ",
    "hint: ",
    "try this: ",
    "the convention here: ",
)
JOINERS = (". ", ", ", " and ", "; ", ". then ", ", then ", "\n")

IRRELEVANT = (
    "",
    "good work",
    "that was not right",
    "try again",
    "please look at it once more",
    "the result is wrong",
    "I do not like it",
    "this failed",
    "write shorter programs",
    "use better names",
    "thank you",
    "the tests are red",
    "almost right",
    "think about it",
    "what is this",
    "no",
    "wrong",
    "hello",
)


def _words(step: Step, choice: int, table: dict[tuple[str, str], tuple[str, ...]], generator: random.Random) -> str:
    return generator.choice(table[step.stage, step.kind.choices[choice].name]).format(k=step.k)


def remark(specification: Specification, choices: Sequence[int], steps: Sequence[int] | None = None) -> str:
    """The reviewer's remark: the rule of each open step (or only of `steps`), in the order of the specification."""
    named = specification.open_steps if steps is None else steps
    sentences = []
    for index in named:
        step = specification.steps[index]
        sentences.append(REMARKS[step.stage, step.kind.choices[choices[index]].name] + ".")
    return " ".join(sentences)


def own_words(
    specification: Specification,
    choices: Sequence[int],
    generator: random.Random,
    *,
    held_out: bool = False,
    steps: Sequence[int] | None = None,
) -> str:
    """The same rules as a person might type them; `held_out` uses only sentences that the corpus never has."""
    named = specification.open_steps if steps is None else steps
    table = HELD_OUT if held_out else PARAPHRASES
    sentences = [_words(specification.steps[i], choices[i], table, generator) for i in named]
    joiner = generator.choice(JOINERS[:4] if held_out else JOINERS)
    text = generator.choice(OPENINGS) + joiner.join(sentences)
    if generator.random() < 0.3:
        text = text[0].upper() + text[1:]
    return text + generator.choice((".", ".", "", "!"))
