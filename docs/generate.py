"""Writes what the documentation can know by itself; ``--check`` only compares, and says what is stale.

    python docs/generate.py [--check] [--no-run]

With ``--no-run`` it runs no command, and leaves alone what the pages show as output.

It owns six things: docs/commands.md, from the help of every command; the table in docs/configuration.md, from the
settings there are; policy and table of docs/audit.md, from the checks; those of docs/performance.md, from what the
benchmarks saved; what the pages show as output, from running their commands on a fresh embedded stack; and the pictures
in docs/pictures/, which the same commands draw.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer

from cruddur_cli import settings
from cruddur_cli.audit import controls, policies
from cruddur_cli.audit.checks import CHECKS
from cruddur_cli.cli import help, tree

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "benchmarks"))
import results  # noqa: E402 - benchmarks/ is no package

README = DOCS.parent / "README.md"
COMMANDS = DOCS / "commands.md"
CONFIGURATION = DOCS / "configuration.md"
AUDIT = DOCS / "audit.md"
PERFORMANCE = DOCS / "performance.md"
PICTURES = DOCS / "pictures"
# What they show is run by tests of their own: tests/pytest_plugin/test_pytest_plugin.py, and those in tests/recipes/.
ELSEWHERE = ("testing-your-app.md", "workspaces.md")
_WIDTH = 88
_NOWHERE = "http://127.0.0.1:9"  # no DynamoDB answers there, so the embedded one is used


# The command reference.


def commands() -> Iterator[tuple[list[str], Any]]:
    """Every command and group, as the words that are typed and Typer's object for it, in the order of the help."""

    def walk(words: list[str], command: Any) -> Iterator[tuple[list[str], Any]]:
        yield words, command
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk([*words, name], inner)

    return walk(["cruddur"], typer.main.get_command(tree.tree()))


@dataclass(frozen=True)
class Help:
    """What ``--help`` says of one command: usage, paragraphs, and an (option, meaning) for each parameter."""

    usage: str
    paragraphs: list[str]
    options: list[tuple[str, str]]


def help_of(words: list[str], command: Any) -> Help:
    """A command's help, whatever the terminal and the environment."""
    context = command.make_context(
        " ".join(words), [], resilient_parsing=True, terminal_width=_WIDTH, max_content_width=_WIDTH
    )
    paragraphs = [" ".join(each.split()) for each in (command.help or "").strip().split("\n\n")]
    records = (help.help_record(param, context) for param in command.get_params(context))
    options = [(name, " ".join(text.split())) for name, text in filter(None, records)]
    return Help(" ".join([*words, *command.collect_usage_pieces(context)]), paragraphs, options)


def first_sentence(command: Any) -> str:
    """What a command is for: the sentence that its group's page shows."""
    return help.first_sentence((command.help or "").strip())


def command_reference() -> str:
    """The text of docs/commands.md."""
    found = list(commands())
    helps = {" ".join(words): help_of(words, command) for words, command in found}
    leaves = {" ".join(words) for words, command in found if not hasattr(command, "commands")}
    everywhere = [
        option
        for option in next(helps[name] for name in sorted(leaves)).options
        if all(option in helps[name].options for name in leaves)
    ]
    parts = [
        "# Commands",
        "What `--help` says, for every command. Exit codes: [your first day](first-day.md); which store a "
        "command uses: [production](production.md); settings: "
        "[configuration](configuration.md).\n\nThis page is written by `python docs/generate.py`.",
        _rows(
            ("command", ""),
            [(f"[`{name}`](#{name.replace(' ', '-')})", first_sentence(command))
             for name, (_, command) in zip(helps, found, strict=True) if name in leaves],
        ),
        "## Options of every command",
        _options(everywhere),
    ]  # fmt: skip
    for name, (words, _) in zip(helps, found, strict=True):
        shown = helps[name]
        parts.append(f"{'###' if len(words) > 2 else '##'} {name}")
        parts.append(f"    {shown.usage}")
        # A line that begins with the program is an example; it stays a line.
        parts += [f"    {each}" if each.startswith("cruddur ") else each for each in shown.paragraphs]
        own = [option for option in shown.options if option not in everywhere]
        if own:
            parts.append(_options(own))
    return "\n\n".join(parts) + "\n"


def _options(options: list[tuple[str, str]]) -> str:
    return _rows(("option", ""), [(f"`{name}`", text) for name, text in options])


def _rows(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    cells = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {left} | {right} |" for left, right in [head, ("---", "---"), *cells]).replace("|  |", "| |")


def examples() -> list[str]:
    """The example lines in the help of the commands."""
    return [
        line.strip()
        for _, command in commands()
        for line in (command.help or "").splitlines()[1:]
        if line.strip().startswith("cruddur ")
    ]


# The settings.


def settings_table() -> str:
    """Every setting there is, one row each."""

    def codes(names: tuple[str, ...]) -> str:
        return ", ".join(f"`{name}`" for name in names) or "–"

    rows = [
        "| key in `cruddur.toml` | setting | variable | with `--prod` | option | if not set |",
        "|---|---|---|---|---|---|",
    ]
    for known in settings.KNOWN:
        production = codes(known.variables if known.prod_variables is None else known.prod_variables)
        meaning = known.meaning.removesuffix("; not used with --prod")
        if meaning != known.meaning:
            production = "not used"
        elif known.per_environment:
            production += ", `[prod]`"
        otherwise = f"`{known.default}`" if known.default else known.otherwise
        option = f"`{known.option}`" if known.option else "–"
        cells = (f"`{known.key}`", meaning, codes(known.variables), production, option, otherwise)
        rows.append(f"| {' | '.join(cells)} |".replace("–, ", ""))
    return "\n".join(rows)


# The audit.


def _control(name: str) -> str:
    """A control with a link to its page."""
    page = controls.page(name)
    return f"[{name}]({page})" if page else name


def audit_parts() -> dict[str, str]:
    """The policy that an audit needs, and a row for each check."""
    rows = ["| check | severity | passes if | control | permissions |", "|---|---|---|---|---|"]
    for check in CHECKS:
        needs = ", ".join(f"`{permission}`" for permission in check.permissions)
        named = "; ".join(map(_control, check.controls))
        rows.append(f"| `{check.name}` | {check.severity} | {check.title} | {named} | {needs} |")
    policy = json.dumps(policies.policy(CHECKS), indent=2)
    return {"policy": f"```json\n{policy}\n```", "checks": "\n".join(rows)}


def filled(path: Path, tables: Mapping[str, str]) -> str:
    """The text of a page with each table between the comments that name it."""
    text = path.read_text(encoding="utf-8")
    for name, table in tables.items():
        marked = re.compile(rf"(?<=^<!-- {name} -->\n).*?(?=^<!-- /{name} -->$)", re.DOTALL | re.MULTILINE)
        text, count = marked.subn(f"{table}\n".replace("\\", r"\\"), text)
        if count != 1:
            raise SystemExit(f"docs/generate.py: {path.name} has {count} places for {name}, not 1")
    return text


# What the pages show. Their rules:
#   ```console   lines that begin with "$ " are run, and what stands below each is what it printed
#   ```sh        lines that begin with "cruddur" are run, and have to succeed; those that reach
#                production are run by tests/docs/test_pages.py, against an account that moto simulates
#   <!-- run: LINE -->          is run, and not shown
#   <!-- picture: NAME: LINE --> is run, and the image below it is what it drew: pictures/NAME.svg
# All of a page runs in order, on one embedded stack that is new and is deleted afterwards.

_STEP = re.compile(
    r"^```(?P<kind>console|sh)\n(?P<body>.*?)^```$|^<!-- run: (?P<hidden>[^\n]+) -->$"
    r"|^<!-- picture: (?P<name>[\w-]+): (?P<drawn>[^\n]+) -->$",
    re.DOTALL | re.MULTILINE,
)
_VOLATILE = (
    (re.compile(r"^─+ \w+ \d+ \w+ \d{4} ─+$", re.MULTILINE), "── a day ──"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d:\d\d|Z)?"), "a time"),
    (re.compile(r"\b\d\d \w{3} \d{4} \d\d:\d\d\b"), "a time"),
    (re.compile(r"\w+day(&#160;| )\d{4}-\d\d-\d\d"), "a day"),
    (re.compile(r"\b\d\d:\d\d\b"), "a time"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:port"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "an id"),
    (re.compile(r"\bterminal-\d+\b"), "a picture"),
)


def steady(text: str) -> str:
    """Text with everything that differs from run to run replaced by its kind: times, ports, ids."""
    for pattern, kind in _VOLATILE:
        text = pattern.sub(kind, text)
    return text


def played(text: str, run: Callable[[str], str]) -> str:
    """The same page with the output that its commands print now; ``run`` takes a line and gives what it printed."""

    def step(found: re.Match[str]) -> str:
        kind, body = found["kind"], found["body"]
        if kind == "sh":
            for line in here(body):
                run(line)
        elif kind == "console":
            shown = [line for line in body.splitlines() if line.startswith("$ ")]
            new = "\n".join(f"{line}\n{run(line.removeprefix('$ '))}" for line in shown)
            return found[0] if steady(new) == steady(body) else f"```{kind}\n{new}```"
        elif found["name"]:
            run(f"NO_COLOR= TERM=xterm-256color {found['drawn']} --svg {found['name']}.svg")
        else:
            run(found["hidden"])
        return found[0]

    return _STEP.sub(step, text)


def steps(text: str) -> Iterator[re.Match[str]]:
    """What a page has that is run: its groups are ``kind`` and ``body``, ``hidden``, or ``name`` and ``drawn``."""
    return _STEP.finditer(text)


def here(block: str) -> list[str]:
    """The commands of a ``sh`` block that are run on this machine's stack."""
    return [line for line in block.splitlines() if line.startswith("cruddur") and not reaches_production(line)]


def reaches_production(line: str) -> bool:
    """Whether a command would read or write production."""
    return re.search(r"--prod\b|--from prod\b|s3://", line) is not None


def pages() -> list[Path]:
    """The pages with commands that are played."""
    written = [README, *sorted(DOCS.glob("*.md"))]
    return [path for path in written if path.name not in ELSEWHERE and _STEP.search(path.read_text(encoding="utf-8"))]


def page(path: Path) -> dict[Path, str]:
    """What belongs into a page, and into each of its pictures, by running its commands."""
    text = path.read_text(encoding="utf-8")
    with fresh_stack() as (run, folder):
        wanted = {path: played(text, run)}
        for found in steps(text):
            if name := found["name"]:
                target = PICTURES / f"{name}.svg"
                drawn = (folder / target.name).read_text(encoding="utf-8")
                before = target.read_text(encoding="utf-8") if target.exists() else ""
                wanted[target] = before if steady(drawn) == steady(before) else drawn
    return wanted


# A page begins at this time, far from midnight, and the clock runs on from there: it shows the same on every day.
_BEGINNING = datetime(2026, 11, 20, 13, tzinfo=UTC)
_CLOCK = """\
from datetime import timedelta
from cruddur_cli import times
times._shift = timedelta(microseconds={microseconds})
"""


@contextlib.contextmanager
def fresh_stack() -> Iterator[tuple[Callable[[str], str], Path]]:
    """A function that runs a line on an embedded stack of its own, in a terminal of 80 columns without colour.

    Beside it the folder where it runs.
    """
    with tempfile.TemporaryDirectory(prefix="cruddur-docs-") as folder:
        Path(folder).chmod(0o711)  # for PostgreSQL's account, where root runs this
        clock = Path(folder, "clock")
        clock.mkdir()
        shift = _BEGINNING - datetime.now(UTC)  # noqa: TID251  # the clock that the commands shift
        text = _CLOCK.format(microseconds=shift // timedelta(microseconds=1))
        (clock / "sitecustomize.py").write_text(text, encoding="utf-8")
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": folder,
            "CRUDDUR_HOME": f"{folder}/stack",
            "CRUDDUR_LOCAL_DYNAMODB": _NOWHERE,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHON": sys.executable,
            "PYTHONPATH": str(clock),
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "TZ": "UTC",
            "GITHUB_ENV": f"{folder}/github-env",
        }

        def run(line: str) -> str:
            code, printed = _in_a_terminal(line, env, folder)
            if code:
                raise SystemExit(f"docs/generate.py: exit code {code} from: {line}\n{printed}")
            return "".join(f"{each.rstrip()}\n" for each in printed.splitlines())

        try:
            yield run, Path(folder)
        finally:
            run("cruddur local reset --yes")


def _in_a_terminal(line: str, env: dict[str, str], folder: str) -> tuple[int, str]:
    # The program that belongs to this interpreter, wherever its scripts are.
    script = 'cruddur() { "$PYTHON" -m cruddur_cli "$@"; }; eval "$1"'
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", line],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=env,
        cwd=folder,
    ) as process:
        os.close(theirs)
        received = b""
        with contextlib.suppress(OSError):  # how Linux says that nobody writes any more
            while part := os.read(ours, 65536):
                received += part
        os.close(ours)
    return process.returncode, received.decode().replace("\r\n", "\n")


def main() -> int:
    """The command: 1 where ``--check`` finds something stale."""
    wanted = {
        COMMANDS: command_reference(),
        CONFIGURATION: filled(CONFIGURATION, {"settings": settings_table()}),
        AUDIT: filled(AUDIT, audit_parts()),
        PERFORMANCE: filled(PERFORMANCE, results.saved()),
    }
    for path in [] if "--no-run" in sys.argv[1:] else pages():
        wanted |= page(path)
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if "--check" in sys.argv[1:]:
            print(f"{path.name} is stale: python docs/generate.py")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
            print(f"{path.name}: written")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
