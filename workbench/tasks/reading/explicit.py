"""Explicit answers in a text: tags, boxes, and statements such as "the answer is …", in many languages.

They count before anything that merely occurs in a text, and of several the last one counts. What stands in them is
read elsewhere (`letters`, `quantities`): here is only where each begins, and its content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explicit:
    """One explicit answer. The content of a tag or a box is what is in it; of a statement, the text that follows."""

    start: int
    content: str
    closed: bool  # True: a tag or a box, which says where the answer ends
    linked: bool = True  # False: a statement without "is", ":" or the like, as in "Answer B"


LONGEST = 4000  # characters of an explicit answer that are read

_TAG = re.compile(r"<(?P<tag>answer|final_answer|final-answer|choice|solution)>", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*(?P<open>\{)?")
_SPACED = re.compile(r"\\boxed\s+([^\s{}$\\]+)")

# Words for the answer, with the languages' verbs for "is". Latin words end at a word's end, others need not.
_LATIN = (
    r"(?:(?:the|my|correct|right|best|final|chosen|selected)\s+(?:option|choice|letter)|(?:final\s+)?answer(?!s?\s+(?:choices|options))s?|ans"
    r"|antwort(?:option)?|lösung|r[ée]ponse|respuesta|resposta|risposta|antwoord|svaret|svar|vastaus|válasz"
    r"|odpowied[źz]|odpov[ěe][ďd]|r[ăa]spuns(?:ul)?|cevap|cevab[ıi]|yan[ıi]t|đáp án|câu trả lời|jawaban(?:nya)?|jibu)"
)
_OTHER = (
    r"(?:ответ(?:ом)?|відповідь|απάντηση|תשובה|(?:ال)?إجابة(?:\s+الصحيحة)?|الجواب|پاسخ|उत्तर|जवाब|উত্তর|คำตอบ"
    r"|정답|답|答え|解答|回答|正解|答案|正确选项|正確選項|故选|应选|應選|选择|選擇|选(?!项)|選(?!項))"
)
_CUE = re.compile(rf"(?<![^\W_]){_LATIN}(?![^\W_])|{_OTHER}|(?m:^)\s*####", re.IGNORECASE)
_VERBS = (
    r"is|are|was|would be|should be|must be|will be|has to be|to be|must therefore be|equals"
    r"|ist|lautet|wäre|est|serait|es|sería|é|seria|è|sarebbe|är|er|jest|je|este|là|adalah|ialah|ni|это|является|είναι"
)
_SIGNS = r"[:：=≈→⇒➜]|[-=]+>|[—–]|(?<=\s)-(?=\s)|是|为|為|應該是|应为|应该是|は|은|는|이|คือ|है|هي|هو|הוא|היא"
_LINK = re.compile(rf"(?<![^\W_])(?:{_VERBS})(?![^\W_])|{_SIGNS}", re.IGNORECASE)
_BETWEEN = re.compile(r"[^.!?。！？\n:：=≈→—–]{0,60}")
_SPACE = re.compile(r"[\s*_#>]*")
_DENIED = re.compile(
    r"[\s*_]*(?:not\b|n't|never\b|neither\b|nor\b|unlikely|incorrect|wrong|nicht|kein|pas\b|no\b|não\b|non\b|niet\b"
    r"|не\b|değil|bukan|không|不|非|ではな|じゃな|아니|ไม่|नहीं|ليس)",
    re.IGNORECASE,
)
_DENIED_BEFORE = re.compile(
    r"(?:\b(?:not|never|cannot)\b|n't\b|n’t\b)[^,;]*$|(?:\b(?:no|não|non|не)\s*|不)$", re.IGNORECASE
)
_SUPPOSED = re.compile(
    r"(?:\b(?:if|whether|suppose|supposing|assume|assuming|unless|were|is|wenn|falls|si|se)\b(?:\s+that)?|不|如果|若|假设)"
    r"\s*(?:(?:the|your|my|correct|right|final|best|die|la|el|a)\s+)*$",
    re.IGNORECASE,
)


def explicit_answers(text: str) -> list[Explicit]:
    """List the explicit answers of a text, in the order in which they stand there."""
    answers = [*_tagged(text), *_boxed(text), *_stated(text)]
    return sorted(answers, key=lambda explicit: explicit.start)


def _tagged(text: str) -> Iterator[Explicit]:
    for opening in _TAG.finditer(text):
        closing = re.compile(rf"</{opening['tag']}\s*>|<{opening['tag']}>", re.IGNORECASE).search(text, opening.end())
        if closing and closing.group().startswith("</"):
            yield Explicit(opening.start(), text[opening.end() : closing.start()][:LONGEST], True)
        elif closing is None:  # cut, or forgotten
            yield Explicit(opening.start(), text[opening.end() : opening.end() + LONGEST], True)


def _boxed(text: str) -> Iterator[Explicit]:
    for match in _BOX.finditer(text):
        if match["open"]:
            yield Explicit(match.start(), braced(text, match.end() - 1), True)
        elif spaced := _SPACED.match(text, match.start()):
            yield Explicit(match.start(), spaced[1], True)


def braced(text: str, place: int) -> str:
    """Content of the braces that open at a place; as far as it is read where they never close."""
    depth, end = 0, min(len(text), place + LONGEST)
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, place, end):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[place + 1 : match.start()]
    return text[place + 1 : end]


def _stated(text: str) -> Iterator[Explicit]:
    """Statements: a word for the answer, "is" or the like within the same sentence, and what follows it.

    One that is denied ("the answer is not A") or only supposed ("if the answer is A") is none.
    """
    for cue in _CUE.finditer(text):
        if _SUPPOSED.search(text, max(0, cue.start() - 40), cue.start()):
            continue
        between = _BETWEEN.match(text, cue.end())
        assert between is not None  # it may be empty
        link = _LINK.search(text, cue.end(), min(len(text), between.end() + 2))
        start = link.end() if link else cue.end()
        if link is None and cue.group().lstrip().startswith("####"):
            yield Explicit(cue.start(), text[start : start + LONGEST], False)
            continue
        if link and (_DENIED.match(text, start) or _DENIED_BEFORE.search(text, cue.end(), link.start())):
            continue
        space = _SPACE.match(text, start)
        start = space.end() if space else start
        yield Explicit(cue.start(), text[start : start + LONGEST], False, link is not None)
