"""What is told beside the data: narration, warnings, questions and errors, on stderr."""

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
    """A line on stderr, free of anything that a terminal would obey; a closed stderr is no error.

    On a terminal it is broken between words, if ``is_broken``; ``wrap`` is False for what a program reads. Else
    passwords in URLs and SQL are masked. Where the terminal shows colours, ``lead``, the beginning of the text, has the
    ``style``, or all of it where ``lead`` is empty; and ``bold``, a part of it, is bold.
    """
    if sys.stderr is None:
        return
    # Else there is nothing to mask, and no reason to load what masks.
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


def note(s: Settings, text: str) -> None:
    """One line of narration; silent with --quiet. One that begins with ✓ tells of a change, as in ``done``."""
    if text.startswith("✓ "):
        done(s, text[2:])
        return
    text = _here(s, text)
    history.reported(text)
    if not s.quiet:
        tell(text)


def outcome(s: Settings, text: str, *, changed: bool) -> None:
    """A step that changed something or found nothing to do, as ``done`` and ``unchanged`` show it."""
    (done if changed else unchanged)(s, text)


def done(s: Settings, text: str) -> None:
    """A step that changed something, and is committed, or in a dry run would change it; silent with --quiet."""
    text = _here(s, text)
    history.reported(text, is_change=True)
    if s.quiet:
        return
    if s.dry_run:
        tell(f"+ {text}")
    else:
        tell(f"✓ {text}", lead="✓", style="green")


def unchanged(s: Settings, text: str) -> None:
    """A step that found nothing to do; silent with --quiet."""
    if not s.quiet:
        tell(f"· {_here(s, text)}", style="dim")


def _here(s: Settings, text: str) -> str:
    """``text`` with its commands as a person runs them in this environment."""
    return in_production(text) if s.prod else text


def acting(s: Settings, what: str, *, aws: bool = False, remote: bool = False) -> None:
    """What a change acts on, in one line; even with --quiet where that is production, the account, or remote."""
    environment = s.environment if s.prod else "AWS" if aws else "remote" if remote else s.environment
    history.acted_on(what, environment)
    line = f"{environment}: {what}" + (" (dry run)" if s.dry_run else "")
    if s.prod or aws or remote:
        tell(line, lead=f"{environment}:", style="bold red")
    elif not s.quiet:
        tell(line)


def reads_production(s: Settings, what: str) -> None:
    """What of production a command looks at, in one line; silent with --quiet."""
    if not s.quiet:
        tell(f"production: {what}", lead="production:", style="bold red")


def trace(s: Settings) -> Callable[[str], None] | None:
    """What tells each request with --debug; else None."""
    return (lambda text: tell(f"debug: {text}")) if s.debug else None


def warn(text: str) -> None:
    """Something that a person should know even with --quiet."""
    tell(f"warning: {text}", lead="warning:", style="yellow")


def ask(question: str, *, about: str = "", bold: str = "") -> str:
    """The answer to a question, without the line's end. ``about`` is what it is about, and ``bold`` the part of that
    which a person must not overlook.

    Not ``input()`` or ``typer.confirm()``: they ask on stdout, which is for data.
    """
    text = wrapped(printable(f"{about} {question}".strip()), columns(sys.stderr) - 1)
    if is_coloured(sys.stderr):
        asked = max(0, len(text) - len(printable(question)))
        said, question = text[:asked], text[asked:]
        text = _emphasized(said, bold) + painted(question, "yellow")
    sys.stderr.write(text + " ")
    sys.stderr.flush()
    answer = ""
    try:
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):  # Ctrl-C or Ctrl-D: the cursor still stands behind the question
            tell("")
    return answer.strip()


def _emphasized(text: str, part: str) -> str:
    """``text`` with the first place of ``part`` bold, also where that is broken into lines."""
    found = re.search(r"\s+".join(map(re.escape, printable(part).split())), text) if part else None
    return text[: found.start()] + painted(found[0], "bold") + text[found.end() :] if found else text


def fail(error: CruddurError, program: str, output: str) -> None:
    """Say what failed: one sentence with the program's name, details, and what to run next; an object with -o json."""
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
        # A command is pasted, and a line break would cut it in two; the terminal breaks it by itself.
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
    """The one line that Ctrl-C leaves; it takes the place of the ``^C`` that a terminal shows."""
    if is_terminal(sys.stderr):
        with suppress(OSError, ValueError):
            sys.stderr.write("\r")
    tell(f"interrupted: {text}" if text else "interrupted")


def masked(error: CruddurError) -> CruddurError:
    """The error as it may be shown: without known secrets, and without words that no person could read."""
    from .. import masking, settings

    error = masking.error(error, settings.secrets())
    # A hint may hold longer words, because it is pasted.
    hint = _shortened(error.hint, longest=10_000) if error.hint else None
    return error.changed(message=_shortened(error.message), hint=hint)


def _shortened(text: str, *, longest: int = 400) -> str:
    """A text in which a word that no person could read, a handle of 100,000 letters say, is cut."""

    def cut(found: re.Match[str]) -> str:
        return f"{found[0][:60]}… ({len(found[0]):,} characters)"

    return re.sub(rf"\S{{{longest},}}", cut, text)


def tell_traceback(error: BaseException) -> None:
    """The traceback of an error, without locals (they hold connection URLs) and with every known secret masked."""
    from .. import masking, settings

    tell(masking.debug_traceback(error, settings.secrets()))


def summary(extra: Mapping[str, object]) -> str:
    """``written 122, unchanged 0`` for the counts of a command that changed something."""
    return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in extra.items() if isinstance(value, int))
