"""Makes text safe for a terminal, fits it into columns, and writes counts, times and units for a person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

# C0 and C1 controls, DEL, and the marks that change the direction of the following text.
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
    """The text with a visible symbol for each control character, except those in ``keep``."""

    def picture(match: re.Match[str]) -> str:
        char = match[0]
        if char in keep:
            return char
        code = ord(char)
        if code < 0x20:
            return chr(0x2400 + code)
        return "\u2421" if code == 0x7F else f"<{code:02X}>"

    return _CONTROLS.sub(picture, text)


def in_production(text: str) -> str:
    """The text with ``--prod`` added to each command of ``cruddur`` in it, where the command takes the option.

    Without it, a command that the user runs next would act on the stores of this machine.
    """

    def add_prod(match: re.Match[str]) -> str:
        command, following = match[1], match[2]
        has_it = re.search(r"--(prod|from prod|help)\b|^`? on a local ", following)
        return f"{command}{following}" if has_it else f"{command} --prod{following}"

    return _COMMAND.sub(add_prod, text) if "cruddur " in text else text


def one_line(text: str) -> str:
    """The text on one line: line ends become ``⏎``, other control characters become symbols."""
    return printable(text.replace("\r\n", "\n").replace("\n", " ⏎ "))


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number and its noun: ``1 item``, ``2,000 items``, ``2 people``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def when(moment: datetime | None, form: str = "%Y-%m-%d %H:%M") -> str:
    """A time in the local time zone, in the one format of all output."""
    try:
        return "at an unknown time" if moment is None else moment.astimezone().strftime(form)
    except (OverflowError, ValueError):
        return str(moment)


def units(number: float) -> str:
    """Capacity units with all their digits: ``0.5``, ``1,234,567``."""
    return f"{number:,.2f}".rstrip("0").rstrip(".")


def width_of(text: str) -> int:
    """The number of columns that a terminal uses for a text on one line."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # rich uses it for tables, too

    return cell_len(text)


def cut(text: str, most: int) -> str:
    """The text, or its beginning and ``…`` where it is wider than ``most`` columns.

    It is cut after a word, if one ends in the last third.
    """
    if width_of(text) <= most:
        return text
    from rich.cells import set_cell_size

    beginning = set_cell_size(text, most - 1).rstrip()
    whole_words = beginning if text[len(beginning) :].startswith(" ") else beginning.rpartition(" ")[0].rstrip()
    return f"{whole_words if width_of(whole_words) >= most * 2 // 3 else beginning}…"


def wrapped(text: str, width: int, *, cut: bool = False) -> str:
    """The text, with its lines wrapped between words at ``width`` columns, and indented as they begin.

    In a numbered list the later lines are indented to the item's text. A wider word stays whole, so that it can be
    copied; with ``cut`` it is broken, after a sign if it has one.
    """
    return "\n".join(part for line in text.split("\n") for part in _wrap(line, width, cut))


def pieces(word: str) -> list[str]:
    """The pieces into which a word may be broken: ``https://``, ``message-``, ``group-``."""
    return _PIECES.findall(word)


def _wrap(line: str, width: int, cut: bool) -> list[str]:
    if width_of(line) <= width:
        return [line]
    prefix = _BEGIN.match(line)
    lead = prefix[0] if prefix and prefix.end() < width // 2 else ""
    room = max(1, width - len(lead))
    lines, current = [], ""
    for glue, part in _parts(line[len(lead) :], room, cut):
        if current and width_of(current + glue + part) > room:
            lines.append(current)
            current = part
        else:
            current += (glue if current else "") + part
    first, *more = [*lines, current]
    return [lead + first, *(" " * len(lead) + line_ for line_ in more)]


def _parts(line: str, room: int, cut: bool) -> Iterator[tuple[str, str]]:
    """Yield each part that must not be broken, and before it the spaces that separate it from the part before."""
    for glue, word in _WORDS.findall(line):
        if not cut or width_of(word) <= room:
            yield glue, word
            continue
        for piece in pieces(word):
            for part in [piece] if width_of(piece) <= room else piece:
                yield glue, part
                glue = ""  # noqa: PLW2901 - once for each word
