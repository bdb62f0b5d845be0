"""The letter that an answer chooses. An explicit answer counts before a letter that merely stands in the text.

What is read, from the strongest to the weakest: tags, boxes and statements (`explicit`); "B is correct"; a letter that
has a line to itself; a letter with a bracket or a colon that opens the text; the last letter that stands by itself.
Words ("I", the article "a"), units, names ("vitamin C") and letters that are denied are no answers, and two are none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from workbench.tasks.reading.explicit import explicit_answers

Options = Mapping[str, str]  # letter -> text of the option; "" where only the letter is known


@dataclass(frozen=True, slots=True)
class Letter:
    """The answer to a question with options; "" where there is none, or where several letters are given at once."""

    letter: str
    shown: str  # as people read it: "B", "A and C"; "" where nothing was found


NOTHING = Letter("", "")
_NEAR = 60  # characters around a letter that decide what it is
_LONGEST_LEAD = 200  # characters of an explicit answer in which its letter and those beside it stand
_LONGEST = 50_000  # characters that are read, from the end

_WIDE = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}  # full-width letters, brackets and signs
_WIDE |= {0x24B6 + place: chr(ord("A") + place) for place in range(26)}  # Ⓐ to Ⓩ
_MACRO = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|mathrm|mathbf|mathsf|mathit|mathbb|boldsymbol|bold|bm|operatorname|emph"
    r"|underline)\s*\{([^{}]*)\}"
)
_FRAME = re.compile(
    r"[*`$]|\\[()\[\],;! ]|</?(?:b|strong|i|em|u|code|p|br)\s*/?>|\\(?:bf|rm|displaystyle|quad|left|right)\b"
)
_UNDERLINE = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")

_WORD = r"0-9A-Za-zÀ-ɏ"  # characters that make a letter a part of a word; not Chinese, which has no spaces
_LEAD = re.compile(
    r"(?:[\s\"'“”‘’«»「」『』【】(\[{#>~]|(?:option|choice|letter|the|likely|probably|clearly|definitely|certainly|therefore|thus"
    r"|indeed|simply|just|actually|correct|answer|is|most|opción|opção|opzione|optie|lettre|letra|option|variante?"
    r"|вариант|буква)(?![^\W_])[\s:]*|选项|選項|选|選|是|为|：|:)*",
    re.IGNORECASE,
)
# Words after "A" or "I" that leave it a letter: any other makes it an article or a pronoun.
_AFTER_LETTER = re.compile(
    r"(?:because|since|as|due|for|given|and|or|but|which|that|is|was|has|with|in|at|if|when|by|from|based|according|not"
    r"|rather|instead|only|here|so|then|therefore|would|should|seems|looks|works|fits|holds|states|says|gives|matches"
    r"|correctly|satisfies|describes|among)\b"
)
_FORMULA = ("'", "’", "°", "+", "#", "^", "=", "[", "(", "@")  # behind a letter that is a part of a formula
_SECOND = re.compile(
    rf"[\s)\]}}\"']*(?:[,;/&+、，]|(?<![^\s)\]])(?:and|or|und|oder|et|ou|y|o|e|и|или)(?=\s)|和|或|及|与|或者)"
    rf"\s*(?:(?:and|or|also|option|choice)\s+)*[(\[\"']*(?P<letter>[A-Z])(?![{_WORD}'’+#=°-])(?P<rest>[)\]\"']*\s*[a-z]*)"
)
_DENIED_AFTER = re.compile(
    r"[)\]}\"':]{0,2}\s*(?:is|was|are|were|can|could|would|seems|looks|be)?\s*"
    r"(?:(?:also|clearly|obviously|definitely|certainly|plainly|simply)\s+)*(?:not\b|n't\b|cannot|incorrect|wrong|false"
    r"|invalid|excluded|eliminated|ruled out|impossible|out\b|a (?:\w+ )?distractor|不|错|錯|не\b|nicht\b|ist falsch)"
)
_DENIED_BEFORE = re.compile(
    r"(?:\b(?:not|nor|neither|except|without|instead of|rather than|other than|excluding?|excludes|eliminates?"
    r"|eliminating|rules? out|ruled out|ruling out|reject(?:s|ed)?|discard(?:s|ed)?|than|unlike|versus|vs\.?|nicht"
    r"|cannot|(?:no|não|non|pas|niet|nie|inte|ikke|не|bukan|không phải)(?:\s+(?:es|é|è|jest|là|is))?)|n't|n’t"
    r"|不是|不选|不選|排除|而非)"
    r"\s*(?:be\s+)?(?:(?:the|option|choice|answer|letter|options)\s+)*[(\[\"']*$",
    re.IGNORECASE,
)
_SUPPOSED_BEFORE = re.compile(
    r"\b(?:if|suppose|supposing|assume|assuming|whether|unless)\s+(?:(?:that|the|your|my|it|correct|right|final|best"
    r"|answer|option|choice|letter|is|was|were|be)\s+)*[(\[\"']*$",
    re.IGNORECASE,
)
_ASKED_AFTER = re.compile(r"[)\]\"'.\s]*\?")
_TURKISH_IS = re.compile(r"['’][dt][iıuü]r\b")  # behind a letter
_NAMED = re.compile(
    r"(?:\b(?:vitamin|hepatitis|influenza|figure|fig\.?|table|appendix|equation|eq\.?|panel|plan|point|vertex|grade|class|group"
    r"|type|step|part|section|phase)\s+|\d\s?)$",
    re.IGNORECASE,
)
_BARE = re.compile(rf"(?<![{_WORD}'’°\-+#=\\/^&.])([A-Z])(?![{_WORD}'’+#=°^]|-\w| ?=|\.[{_WORD}])")
_SMALL = re.compile(rf"\(([a-z])\)|\b(?:[Oo]ption|[Cc]hoice)\s+([a-z])(?![{_WORD}'-])(?!\s+[a-z])")
_LINE = re.compile(r"^[\s(\[{\"'#>-]*([A-Za-z])[)\]}\"'.:,]*\s*$", re.MULTILINE)
_OPENING = re.compile(r"\A\s*(?:(?:option|choice)\s+)?[(\[]?([A-Za-z])(?:[)\]][.:]?|[.:](?=\s))", re.IGNORECASE)
_LISTED = re.compile(r"^\s*[-*]?\s*[(\[]?([A-Za-z])(?:[)\]]|[.:](?=\s))", re.MULTILINE)
_RIGHT = re.compile(
    rf"(?<![{_WORD}'’-])(?:[Oo]ption\s+)?[(\[\"']?(?:(?P<big>[A-Z])|(?<=[(\[])(?P<small>[a-z]))[)\]\"']?\s*"
    r"(?:(?:is|must be|should be|would be|seems)\s+"
    r"(?:(?:the|clearly|therefore|thus|indeed|our|my|also|most|likely|single)\s+)*"
    r"(?:correct|right|true|best|answer|solution|most appropriate)|选项(?:是)?正确|是正确|为正确|正确|項正確)"
)
_CHOSEN = re.compile(
    r"\b(?i:choose|chose|choosing|select|selecting|pick|picking|go with|going with|opt for|settle on|vote for)\s+"
    r"(?=[^a-z]|(?i:option|choice|answer|the option|letter))"
)


def read_letter(text: str, options: Options) -> Letter:
    """Read the letter that a text chooses among `options`; NOTHING where it chooses none."""
    stripped = _plain(text[-_LONGEST:]).strip()
    if not stripped:
        return NOTHING
    readers: tuple[Callable[[str, Options], Letter | None], ...] = (
        _whole,
        _explicit,
        _called_right,
        _own_line,
        _opening,
        _last_bare,
    )
    return next((letter for reader in readers if (letter := reader(stripped, options)) is not None), NOTHING)


def options_in(prompt: str) -> dict[str, str]:
    """Options that a question lists in lines of their own, "A: …", "(B) …", from A on; empty where it lists none."""
    options: dict[str, str] = {}
    for match in re.finditer(r"^\s*[(\[]?([A-Z])[)\].:]+\s+(\S.*)$", prompt, re.MULTILINE):
        if match[1] == chr(ord("A") + len(options)):
            options[match[1]] = match[2].strip()
        elif match[1] == "A":
            options = {"A": match[2].strip()}
    return options if len(options) > 1 else {}


def _plain(text: str) -> str:
    """Take off what only frames letters: full width, emphasis, dollar signs and macros of LaTeX."""
    text = unicodedata.normalize("NFC", text.translate(_WIDE).replace("\u00a0", " "))
    for _ in range(4):
        text, changed = _MACRO.subn(r"\1", text)
        if not changed:
            break
    return _UNDERLINE.sub("", _FRAME.sub("", text))


def _whole(text: str, options: Options) -> Letter | None:
    """A text that is nothing but a letter, or nothing but an option's text."""
    match = _LINE.fullmatch(text)
    if match:
        return Letter(match[1].upper(), match[1].upper())
    return _option(text, options, whole=True)


def _explicit(text: str, options: Options, *, statements_only: bool = False) -> Letter | None:
    for explicit in reversed(explicit_answers(text)):
        if explicit.closed and statements_only:  # a frame within a frame is in the list by itself
            continue
        content = explicit.content
        if explicit.closed:
            letter = _in_frame(content, options)
        else:
            letter = _option(content, options) if explicit.linked else None
            letter = letter or _leading(content, options, linked=explicit.linked)
        if letter is not None:
            return letter
    return None


def _in_frame(content: str, options: Options) -> Letter | None:
    """Read the content of a tag or a box."""
    content = content.strip()
    letter = _whole(content, options) or _option(content, options) or _leading(content, options, linked=True)
    if letter is None and content:
        letter = (
            _explicit(content, options, statements_only=True)
            or _called_right(content, options)
            or _option(content, options)
        )
    return letter


def _leading(content: str, options: Options, *, linked: bool) -> Letter | None:
    """Read a letter at the start of what an explicit answer says, behind brackets and words such as "option"."""
    content = content[:_LONGEST_LEAD]
    lead = _LEAD.match(content)
    place = lead.end() if lead else 0
    rest = content[place:]
    run = re.match(rf"[A-Za-z](?![{_WORD}])|[A-Z]{{2,6}}(?![{_WORD}])", rest)
    if run is None:
        return None
    letter, after = run.group(), rest[run.end() :]
    if len(letter) > 1:
        together = len(set(letter)) == len(letter) and set(letter) <= set(options)
        return Letter("", letter) if together else None
    bracketed = content[:place].endswith(("(", "[", '"', "'", "“", "‘"))
    if not linked and letter.islower() and not bracketed:
        return None
    if after.startswith(_FORMULA) and not bracketed and not _TURKISH_IS.match(after):
        return None  # C=CC(=O)O, 25 °C, C++
    if re.match(r"-[^\W_]", after) or _ASKED_AFTER.match(after):
        return None  # "B-cell"; a question
    if not bracketed and _is_word(letter, after) and not _starts_option(letter, after, options):
        return None
    if _DENIED_AFTER.match(after):
        return None
    return _with_others(letter.upper(), after)


def _starts_option(letter: str, after: str, options: Options) -> bool:
    text = _folded(options.get(letter.upper(), ""))
    return bool(text) and _folded(after).startswith(text)


def _is_word(letter: str, after: str) -> bool:
    """True for the article "a" and the pronoun "I": a word follows that no letter of an option has after it."""
    if letter not in "aAiI":
        return (
            letter.islower() and re.match(r"[ \t]+[a-z]", after) is not None and not _AFTER_LETTER.match(after.lstrip())
        )
    if not re.match(r"[ \t]+[^\W\d_]", after):
        return False
    return letter in "iI" or _AFTER_LETTER.match(after.lstrip()) is None


def _with_others(letter: str, after: str) -> Letter:
    """The letter; no answer where others stand beside it: "A and C", "A, B", "B or C"."""
    shown = letter
    while match := _SECOND.match(after):
        follower = match["rest"].lstrip(")]\"' \t")
        if follower and follower not in ("are", "both", "together"):
            break  # another clause begins: "B, C is wrong"
        shown += f" and {match['letter']}"
        after = after[match.end() :]
    return Letter(letter if shown == letter else "", shown)


def _called_right(text: str, options: Options) -> Letter | None:
    """The last "B is correct", or "I choose B"."""
    places: list[tuple[int, Letter]] = []
    for match in _RIGHT.finditer(text):
        letter = (match["big"] or match["small"]).upper()
        is_question = re.match(r"\s*\?", text[match.end() : match.end() + _NEAR])
        if not is_question and not _DENIED_BEFORE.search(_before(text, match.start())):
            places.append((match.start(), Letter(letter, letter)))
    for match in _CHOSEN.finditer(text):
        chosen = _leading(text[match.end() : match.end() + _NEAR], options, linked=False)
        if chosen is not None and not re.search(r"(?:not|n't|n’t|never)\s*$", _before(text, match.start())):
            places.append((match.start(), chosen))
    return max(places, key=lambda place: place[0])[1] if places else None


def _own_line(text: str, options: Options) -> Letter | None:
    """The last letter that has a line to itself, among several lines."""
    letters = [match[1] for match in _LINE.finditer(text)]
    return Letter(letters[-1].upper(), letters[-1].upper()) if letters and letters[-1].upper() in options else None


def _opening(text: str, options: Options) -> Letter | None:
    """A letter with a bracket or a colon that opens the text, unless the text goes through the options."""
    match = _OPENING.match(text)
    listed = {item[1].upper() for item in _LISTED.finditer(text)}
    if match is None or match[1].upper() not in options or len(listed) > 1:
        return None
    return Letter(match[1].upper(), match[1].upper())


def _last_bare(text: str, options: Options) -> Letter | None:
    letters: list[tuple[int, str, str]] = []  # place, letter, what follows
    for match in (*_BARE.finditer(text), *_SMALL.finditer(text)):
        group = 1 if match[1] else 2
        letter, before = match[group], _before(text, match.start(group))
        after = text[match.end(group) : match.end(group) + _NEAR]
        bracketed = before.endswith(("(", "[")) and after.startswith((")", "]"))
        if letter.upper() not in options or _DENIED_AFTER.match(after) or _DENIED_BEFORE.search(before):
            continue
        if _ASKED_AFTER.match(after) or _SUPPOSED_BEFORE.search(before):
            continue
        if not bracketed and (letter in "Ii" or _is_word(letter, after) or _NAMED.search(before)):
            continue
        letters.append((match.start(group), letter.upper(), after))
    if not letters:
        return None
    letters.sort()
    for place, letter, after in letters:  # the first of a list that reaches to the last letter
        listed = _with_others(letter, after)
        if listed.letter == "" and listed.shown.endswith(letters[-1][1]) and place < letters[-1][0]:
            reach = len(after) - len(_behind_list(after))
            if place + 1 + reach >= letters[-1][0]:
                return listed
    return Letter(letters[-1][1], letters[-1][1])


def _before(text: str, place: int) -> str:
    return text[max(0, place - _NEAR) : place]


def _behind_list(after: str) -> str:
    while match := _SECOND.match(after):
        after = after[match.end() :]
    return after


def _option(content: str, options: Options, *, whole: bool = False) -> Letter | None:
    """The option whose text an answer gives in place of its letter: the longest that fits, unless two share it."""
    given = _folded(content)
    fitting: dict[str, list[str]] = {}
    for letter, text in options.items():
        known = _folded(text)
        fits = bool(known) and given == known
        if not whole:  # one letter may be that of another option
            ends = not re.match(rf"[{_WORD}]|\.\d", given[len(known) :])
            fits = (len(known) > 1 or known.isdigit()) and given.startswith(known) and ends
        if fits:
            fitting.setdefault(known, []).append(letter)
    if not fitting:
        return None
    letters = fitting[max(fitting, key=len)]
    return Letter(letters[0], letters[0]) if len(letters) == 1 else None


def _folded(text: str) -> str:
    return " ".join(_plain(text).casefold().split()).strip(" .\"'“”‘’:;,")
