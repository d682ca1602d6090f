"""Prints everything beside the data on stderr: progress, warnings, questions and errors."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import TYPE_CHECKING

from ..errors import CruddurError
from . import history
from .streams import columns, is_coloured, is_terminal, painted
from .text import in_production, printable, width_of, wrapped

if TYPE_CHECKING:
    from ..settings import Settings


def tell(
    text: str, *, wrap: bool = True, is_broken: bool = True, lead: str = "", style: str = "", bold: str = ""
) -> None:
    """Print a line on stderr without control characters. A closed stderr is no error.

    On a terminal it is wrapped between words, unless ``is_broken`` is False. Passwords in URLs and SQL are masked.
    ``wrap=False`` is for text that a program reads: it is neither wrapped nor masked. With colours, ``lead`` (the
    beginning of the text, or all of it if ``lead`` is empty) has the ``style``, and the part ``bold`` is bold.
    """
    if sys.stderr is None:
        return
    # Other texts contain no password, and loading the module takes time.
    if wrap and ("@" in text or "=" in text or "password" in text.lower()):
        from .. import masking

        text = masking.text(text)
    text = printable(text, keep="\n\t")
    try:
        if wrap and is_broken and is_terminal(sys.stderr):
            text = wrapped(text, columns(sys.stderr))
        if style and is_coloured(sys.stderr) and text.startswith(lead):
            text = painted(text[: len(lead)], style) + text[len(lead) :] if lead else painted(text, style)
        if bold and is_coloured(sys.stderr):
            text = _emphasized(text, bold)
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def note(s: Settings, text: str, *, losing: str = "") -> None:
    """Print a line about the command's work, with ``losing``, what would be lost, in bold; nothing with ``--quiet``."""
    text = _with_prod(s, text)
    history.reported(text)
    if not s.quiet:
        tell(text, bold=losing)


def outcome(s: Settings, text: str, *, changed: bool) -> None:
    """Print the result of a step with ``done`` if it changed something, else with ``unchanged``."""
    (done if changed else unchanged)(s, text)


def done(s: Settings, text: str) -> None:
    """Print a change that is committed, or that a dry run would make; nothing with ``--quiet``."""
    text = _with_prod(s, text)
    history.reported(text, is_change=True)
    if s.quiet:
        return
    if s.dry_run:
        tell(f"+ {text}")
    else:
        tell(f"✓ {text}", lead="✓", style="green")


def unchanged(s: Settings, text: str) -> None:
    """Print that a step had nothing to do; nothing with ``--quiet``."""
    if not s.quiet:
        tell(f"· {_with_prod(s, text)}", style="dim")


def _with_prod(s: Settings, text: str) -> str:
    """The text, with ``--prod`` added to its commands where this command has it."""
    return in_production(text) if s.prod else text


def acting(s: Settings, what: str, *, aws: bool = False, remote: bool = False) -> None:
    """Print in one line what a command changes.

    For production, the AWS account and remote stores it is printed even with ``--quiet``.
    """
    environment = s.environment if s.prod else "AWS" if aws else "remote" if remote else s.environment
    history.acted_on(what, environment)
    line = f"{environment}: {what}" + (" (dry run)" if s.dry_run else "")
    if s.prod or aws or remote:
        tell(line, lead=f"{environment}:", style="bold red")
    elif not s.quiet:
        tell(line)


def reads_production(s: Settings, what: str) -> None:
    """Print in one line what of production a command reads; nothing with ``--quiet``."""
    if not s.quiet:
        tell(f"production: {what}", lead="production:", style="bold red")


def trace(s: Settings) -> Callable[[str], None] | None:
    """A function that prints each request, with ``--debug``; else None."""
    return (lambda text: tell(f"debug: {text}")) if s.debug else None


def warn(text: str) -> None:
    """Print a warning, even with ``--quiet``."""
    tell(f"warning: {text}", lead="warning:", style="yellow")


def ask(question: str, *, about: str = "", bold: str = "") -> str:
    """Ask a question on stderr; returns the answer without the line end.

    ``about`` is printed before the question; its part ``bold`` is bold. ``input()`` and ``typer.confirm()`` are not
    used, because they ask on stdout, which is for data.
    """
    text = wrapped(printable(f"{about} {question}".strip()), columns(sys.stderr) - 1)
    if is_coloured(sys.stderr):
        start = max(0, len(text) - len(printable(question)))
        text = _emphasized(text[:start], bold) + painted(text[start:], "yellow")
    sys.stderr.write(text + " ")
    sys.stderr.flush()
    answer = ""
    try:
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):  # after Ctrl-C or Ctrl-D the cursor is still behind the question
            tell("")
    return answer.strip()


def _emphasized(text: str, part: str) -> str:
    """The text with the first occurrence of ``part`` bold, even if it is wrapped."""
    match = re.search(r"\s+".join(map(re.escape, printable(part).split())), text) if part else None
    return text[: match.start()] + painted(match[0], "bold") + text[match.end() :] if match else text


def fail(error: CruddurError, program: str, output: str) -> None:
    """Print an error: the program's name and a sentence, details, and the next command; with -o json an object."""
    if output in {"json", "jsonl"}:
        from . import machine

        fields = {key: value for key, value in error.fields.items() if key not in {"response", "aws_code"}}
        body = {"code": error.code, "message": error.message, "hint": error.hint, "details": error.details, **fields}
        error_body = {key: value for key, value in body.items() if value is not None or key == "hint"}
        tell(machine.dumps({"error": error_body}), wrap=False)
        return
    tell(f"{program}: {error.message}", lead=f"{program}:", style="bold red")
    if error.details:
        room = columns(sys.stderr) - 2 if is_terminal(sys.stderr) else None
        tell("\n".join(f"  {line}" for line in _with_carets(error.details.splitlines(), room)))
    if error.hint:
        # A line break would stop a command from being pasted; the terminal itself wraps it.
        is_command = error.hint.startswith("cruddur ")
        tell(f"  next: {error.hint}", is_broken=not is_command, lead="  next:", style="bold")


def _with_carets(lines: Sequence[str], room: int | None) -> Iterator[str]:
    """The lines of details; of one with a caret below it only the part around the caret, if the rest has no room."""
    for line, below in zip_longest(lines, lines[1:], fillvalue=""):
        if line.strip() == "^":
            continue
        if below.strip() != "^":
            yield line
        elif room is None or width_of(printable(line)) <= room:
            yield from (line, below)
        else:
            yield from _around_caret(printable(line), below.index("^"), room)


def _around_caret(line: str, place: int, room: int) -> tuple[str, str]:
    """A part of the line, ``room`` columns wide, and the caret below the sign at ``place``."""
    number = re.match(r" *\d+ \| ", line)
    lead = number[0] if number else ""
    size = room - len(lead) - 2
    start = max(len(lead), min(place - size // 2, len(line) - size))
    part = line[start : start + size]
    while width_of(part) > size:
        part = part[:-1]
    begin = "…" if start > len(lead) else ""
    end = "…" if start + len(part) < len(line) else ""
    return f"{lead}{begin}{part}{end}", " " * width_of(lead + begin + line[start:place]) + "^"


def interrupted(text: str = "") -> None:
    """Print the one line after Ctrl-C; it overwrites the ``^C`` that the terminal shows."""
    if is_terminal(sys.stderr):
        with suppress(OSError, ValueError):
            sys.stderr.write("\r")
    tell(f"interrupted: {text}" if text else "interrupted")


def masked(error: CruddurError) -> CruddurError:
    """The error without known secrets, and with very long words cut."""
    from .. import masking, settings

    error = masking.error(error, settings.secrets())
    # A hint may have longer words, because it is pasted.
    hint = _shortened(error.hint, longest=10_000) if error.hint else None
    return error.changed(message=_shortened(error.message), hint=hint)


def _shortened(text: str, *, longest: int = 400) -> str:
    """The text with each word of ``longest`` or more characters cut, such as a handle of 100,000 letters."""

    def cut(match: re.Match[str]) -> str:
        return f"{match[0][:60]}… ({len(match[0]):,} characters)"

    return re.sub(rf"\S{{{longest},}}", cut, text)


def tell_traceback(error: BaseException) -> None:
    """Print the traceback of an error.

    It has no local variables (they contain connection URLs), and secrets are masked.
    """
    from .. import masking, settings

    tell(masking.debug_traceback(error, settings.secrets()))


def summary(extra: Mapping[str, object]) -> str:
    """``written 122, unchanged 0``: the counts of a command as text."""
    return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in extra.items() if isinstance(value, int))
