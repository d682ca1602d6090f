"""Writes the generated parts of the documentation; ``--check`` only compares them, and names the stale files.

    python docs/generate.py [--check] [--no-run]

``--no-run`` runs no command, and does not change the output that the pages show.

The generated parts are:

- docs/commands.md, from the help of every command;
- the table in docs/configuration.md, from the settings;
- the policy and the table in docs/audit.md, from the checks;
- the tables in docs/performance.md, from benchmarks/last.json;
- the output that pages show, from running their commands on a new embedded stack;
- the pictures in docs/pictures/, which the same commands draw.
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
# Other tests run what these pages show: tests/pytest_plugin/test_pytest_plugin.py, and those in tests/recipes/.
ELSEWHERE = ("testing-your-app.md", "workspaces.md")
_WIDTH = 88
_NOWHERE = "http://127.0.0.1:9"  # no DynamoDB answers there, so the embedded one is used


# The command reference.


def commands() -> Iterator[tuple[list[str], Any]]:
    """Every command and group in the order of the help: the words that a user types, and Typer's object."""

    def walk(words: list[str], command: Any) -> Iterator[tuple[list[str], Any]]:
        yield words, command
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk([*words, name], inner)

    return walk(["cruddur"], typer.main.get_command(tree.tree()))


@dataclass(frozen=True)
class Help:
    """The parts of one command's ``--help``: usage, paragraphs, and (option, meaning) for each parameter."""

    usage: str
    paragraphs: list[str]
    options: list[tuple[str, str]]


def help_of(words: list[str], command: Any) -> Help:
    """A command's help, independent of the terminal and the environment."""
    context = command.make_context(
        " ".join(words), [], resilient_parsing=True, terminal_width=_WIDTH, max_content_width=_WIDTH
    )
    paragraphs = [" ".join(each.split()) for each in (command.help or "").strip().split("\n\n")]
    records = (help.help_record(param, context) for param in command.get_params(context))
    options = [(name, " ".join(text.split())) for name, text in filter(None, records)]
    return Help(" ".join([*words, *command.collect_usage_pieces(context)]), paragraphs, options)


def first_sentence(command: Any) -> str:
    """The first sentence of a command's help, which its group's page shows."""
    return help.first_sentence((command.help or "").strip())


def command_reference() -> str:
    """The text of docs/commands.md."""
    entries = list(commands())
    helps = {" ".join(words): help_of(words, command) for words, command in entries}
    leaves = {" ".join(words) for words, command in entries if not hasattr(command, "commands")}
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
             for name, (_, command) in zip(helps, entries, strict=True) if name in leaves],
        ),
        "## Options of every command",
        _options(everywhere),
    ]  # fmt: skip
    for name, (words, _) in zip(helps, entries, strict=True):
        shown = helps[name]
        parts.append(f"{'###' if len(words) > 2 else '##'} {name}")
        parts.append(f"    {shown.usage}")
        # A line that begins with ``cruddur`` is an example, and stays a line of its own.
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
    """The table of all settings, one row each."""

    def codes(names: tuple[str, ...]) -> str:
        return ", ".join(f"`{name}`" for name in names) or "–"

    rows = [
        "| key in `cruddur.toml` | setting | variable | with `--prod` | option | if not set |",
        "|---|---|---|---|---|---|",
    ]
    for setting in settings.KNOWN:
        production = codes(setting.variables if setting.prod_variables is None else setting.prod_variables)
        meaning = setting.meaning.removesuffix("; not used with --prod")
        if meaning != setting.meaning:
            production = "not used"
        elif setting.per_environment:
            production += ", `[prod]`"
        otherwise = f"`{setting.default}`" if setting.default else setting.otherwise
        option = f"`{setting.option}`" if setting.option else "–"
        cells = (f"`{setting.key}`", meaning, codes(setting.variables), production, option, otherwise)
        rows.append(f"| {' | '.join(cells)} |".replace("–, ", ""))
    return "\n".join(rows)


# The audit.


def _control(name: str) -> str:
    """A control's name, with a link if its page is known."""
    page = controls.page(name)
    return f"[{name}]({page})" if page else name


def audit_parts() -> dict[str, str]:
    """The parts of docs/audit.md by name: the ``policy`` that an audit needs, and the table of ``checks``."""
    rows = ["| check | severity | passes if | control | permissions |", "|---|---|---|---|---|"]
    for check in CHECKS:
        needs = ", ".join(f"`{permission}`" for permission in check.permissions)
        named = "; ".join(map(_control, check.controls))
        rows.append(f"| `{check.name}` | {check.severity} | {check.title} | {named} | {needs} |")
    policy = json.dumps(policies.policy(CHECKS), indent=2)
    return {"policy": f"```json\n{policy}\n```", "checks": "\n".join(rows)}


def filled(path: Path, tables: Mapping[str, str]) -> str:
    """The text of a page with each table between its comments, ``<!-- NAME -->`` and ``<!-- /NAME -->``."""
    text = path.read_text(encoding="utf-8")
    for name, table in tables.items():
        marked = re.compile(rf"(?<=^<!-- {name} -->\n).*?(?=^<!-- /{name} -->$)", re.DOTALL | re.MULTILINE)
        text, count = marked.subn(f"{table}\n".replace("\\", r"\\"), text)
        if count != 1:
            raise SystemExit(f"docs/generate.py: {path.name} has {count} places for {name}, not 1")
    return text


# The output in the pages. These parts of a page are run:
#   ```console   lines that begin with "$ "; their output stands below each
#   ```sh        lines that begin with "cruddur", which must succeed; tests/docs/test_pages.py runs those that
#                reach production, against an account that moto simulates
#   <!-- run: LINE -->           a line that the page does not show
#   <!-- picture: NAME: LINE --> a line that draws the image below it, pictures/NAME.svg
# The lines of a page run in order, on a new embedded stack, which is deleted afterwards.

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


def normalized(text: str) -> str:
    """The text with the name of its kind instead of each part that differs from run to run: times, ports, ids."""
    for pattern, kind in _VOLATILE:
        text = pattern.sub(kind, text)
    return text


def with_output(text: str, run: Callable[[str], str]) -> str:
    """The page with the current output of its commands; ``run`` runs a line and returns its output.

    Output that differs only in times, ports and ids is not replaced.
    """

    def step(match: re.Match[str]) -> str:
        kind, body = match["kind"], match["body"]
        if kind == "sh":
            for line in local_commands(body):
                run(line)
        elif kind == "console":
            shown = [line for line in body.splitlines() if line.startswith("$ ")]
            new = "\n".join(f"{line}\n{run(line.removeprefix('$ '))}" for line in shown)
            return match[0] if normalized(new) == normalized(body) else f"```{kind}\n{new}```"
        elif match["name"]:
            run(f"NO_COLOR= TERM=xterm-256color {match['drawn']} --svg {match['name']}.svg")
        else:
            run(match["hidden"])
        return match[0]

    return _STEP.sub(step, text)


def steps(text: str) -> Iterator[re.Match[str]]:
    """The parts of a page that are run; the match has ``kind`` and ``body``, ``hidden``, or ``name`` and ``drawn``."""
    return _STEP.finditer(text)


def local_commands(block: str) -> list[str]:
    """The commands of a ``sh`` block that do not reach production."""
    return [line for line in block.splitlines() if line.startswith("cruddur") and not reaches_production(line)]


def reaches_production(line: str) -> bool:
    """Whether a command line would read or write production or S3."""
    return re.search(r"--prod\b|--from prod\b|s3://", line) is not None


def pages() -> list[Path]:
    """The pages with commands that are run here."""
    all_pages = [README, *sorted(DOCS.glob("*.md"))]
    return [path for path in all_pages if path.name not in ELSEWHERE and _STEP.search(path.read_text(encoding="utf-8"))]


def page(path: Path) -> dict[Path, str]:
    """The current content of a page and of each of its pictures, by path. Runs the page's commands."""
    text = path.read_text(encoding="utf-8")
    with fresh_stack() as (run, folder):
        wanted = {path: with_output(text, run)}
        for match in steps(text):
            if name := match["name"]:
                target = PICTURES / f"{name}.svg"
                drawn = (folder / target.name).read_text(encoding="utf-8")
                before = target.read_text(encoding="utf-8") if target.exists() else ""
                wanted[target] = before if normalized(drawn) == normalized(before) else drawn
    return wanted


# The clock of every page starts at this time, far from midnight, so that its output is the same on every day.
_BEGINNING = datetime(2026, 11, 20, 13, tzinfo=UTC)
_CLOCK = """\
from datetime import timedelta
from cruddur_cli import times
times._shift = timedelta(microseconds={microseconds})
"""


@contextlib.contextmanager
def fresh_stack() -> Iterator[tuple[Callable[[str], str], Path]]:
    """A function that runs a line on a new embedded stack, in a terminal of 80 columns without colour; and its folder.

    The function returns the output, and raises SystemExit if the line fails.
    """
    with tempfile.TemporaryDirectory(prefix="cruddur-docs-") as folder:
        Path(folder).chmod(0o711)  # so that PostgreSQL's account can enter it if root runs this
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
    # cruddur of this interpreter, because PATH may have another one.
    script = 'cruddur() { "$PYTHON" -m cruddur_cli "$@"; }; eval "$1"'
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", line],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        env=env,
        cwd=folder,
    ) as process:
        os.close(terminal)
        received = b""
        with contextlib.suppress(OSError):  # Linux raises it once the command has closed the terminal
            while part := os.read(reader, 65536):
                received += part
        os.close(reader)
    return process.returncode, received.decode().replace("\r\n", "\n")


def main() -> int:
    """Write or check the generated files; 1 if ``--check`` finds a stale one, else 0."""
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
