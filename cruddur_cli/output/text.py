"""Text that a terminal cannot mistake for a command, that fits it, and that counts as people do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

# C0 and C1 controls, DEL, and the marks that change the direction of what follows them.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")
# A command that takes --prod, and the text up to the next command.
_COMMAND = re.compile(
    r"\b(cruddur (?:setup|doctor|config|cognito list-users|db (?!new-|release-)[a-z][a-z-]+"
    r"|ddb (?!copy\b|stream (?:package|template))(?:stream )?[a-z][a-z-]+)\b)((?:(?!\bcruddur ).)*)",
    re.DOTALL,
)
_BEGIN = re.compile(r" *(?:(?:\d+\.|[✓·+-]) )?")  # of a line, or of an item in a list
_WORDS = re.compile("( *)([^ ]+)")
_PIECES = re.compile(r"[^/@,:;=&?_-]*[/@,:;=&?_-]+|[^/@,:;=&?_-]+")


def printable(text: str, *, keep: str = "") -> str:
    """``text`` with every control character shown as a picture of itself, except those in ``keep``."""

    def picture(found: re.Match[str]) -> str:
        char = found[0]
        if char in keep:
            return char
        code = ord(char)
        if code < 0x20:
            return chr(0x2400 + code)
        return "\u2421" if code == 0x7F else f"<{code:02X}>"

    return _CONTROLS.sub(picture, text)


def in_production(text: str) -> str:
    """``text`` with ``--prod`` behind each command of ``cruddur`` that it names, where the command takes the option.

    A command that a person runs after one with ``--prod`` would else act on the stores of this machine.
    """

    def named(found: re.Match[str]) -> str:
        command, rest = found[1], found[2]
        is_said = re.search(r"--(prod|from prod|help)\b|^`? on a local ", rest)
        return f"{command}{rest}" if is_said else f"{command} --prod{rest}"

    return _COMMAND.sub(named, text) if "cruddur " in text else text


def one_line(text: str) -> str:
    """``text`` on one line: line ends become a visible sign, other controls as in ``printable``."""
    return printable(text.replace("\r\n", "\n").replace("\n", " ⏎ "))


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 item``, ``2,000 items``, ``2 people``: a number and what there is that many of."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def when(moment: datetime | None, form: str = "%Y-%m-%d %H:%M") -> str:
    """An instant in local time, in the one form that every screen uses."""
    try:
        return "at an unknown time" if moment is None else moment.astimezone().strftime(form)
    except (OverflowError, ValueError):
        return str(moment)


def units(number: float) -> str:
    """Capacity units, all their digits and no more: ``0.5``, ``1,234,567``."""
    return f"{number:,.2f}".rstrip("0").rstrip(".")


def width_of(text: str) -> int:
    """How many columns a terminal gives to a text on one line."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # what a table counts by, too

    return cell_len(text)


def cut(text: str, most: int) -> str:
    """``text``, or as much of it as ``most`` columns hold with a sign that there is more; behind a word, if one ends
    in the last third."""
    if width_of(text) <= most:
        return text
    from rich.cells import set_cell_size

    kept = set_cell_size(text, most - 1).rstrip()
    words = kept if text[len(kept) :].startswith(" ") else kept.rpartition(" ")[0].rstrip()
    return f"{words if width_of(words) >= most * 2 // 3 else kept}…"


def wrapped(text: str, width: int, *, cut: bool = False) -> str:
    """``text`` with its lines broken between words, indented as they began; those of
    an item in a list stand below its words.

    A word that is wider stays whole, so that it can be copied; with ``cut`` it is broken, where it can be after a
    sign.
    """
    return "\n".join(part for line in text.split("\n") for part in _wrap(line, width, cut))


def pieces(word: str) -> list[str]:
    """What a word can be broken into: ``https://``, ``message-``, ``group-``."""
    return _PIECES.findall(word)


def _wrap(line: str, width: int, cut: bool) -> list[str]:
    if width_of(line) <= width:
        return [line]
    begin = _BEGIN.match(line)
    lead = begin[0] if begin and begin.end() < width // 2 else ""
    room = max(1, width - len(lead))
    lines, begun = [], ""
    for glue, part in _parts(line[len(lead) :], room, cut):
        if begun and width_of(begun + glue + part) > room:
            lines.append(begun)
            begun = part
        else:
            begun += (glue if begun else "") + part
    first, *more = [*lines, begun]
    return [lead + first, *(" " * len(lead) + each for each in more)]


def _parts(line: str, room: int, cut: bool) -> Iterator[tuple[str, str]]:
    """What stays together, and what stands before it where it does not begin a line."""
    for glue, word in _WORDS.findall(line):
        if not cut or width_of(word) <= room:
            yield glue, word
            continue
        for piece in pieces(word):
            for part in [piece] if width_of(piece) <= room else piece:
                yield glue, part
                glue = ""  # noqa: PLW2901 - once for each word
