"""Questions before data is lost: when they are asked, and which answers are accepted."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.commands.shared import confirm
from cruddur_cli.errors import Protected
from cruddur_cli.settings import Settings, load
from tests.terminals import in_terminal


def settings(**options: Any) -> Settings:
    return load(options, environ={}, folder=Path("/"))


def destroy(s: Settings, *, remote: bool = False) -> None:
    confirm.destroy(s, what="Database 'cruddur'", name="cruddur", losing="4 users", remote=remote)


def test_locally_yes_is_enough() -> None:
    destroy(settings(yes=True))
    destroy(settings(confirm="cruddur"))


def test_with_yes_the_loss_is_printed_except_with_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    destroy(settings(yes=True))
    assert "Database 'cruddur' will be destroyed: 4 users." in capsys.readouterr().err
    destroy(settings(yes=True, quiet=True))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("options", "remote"), [({"prod": True}, False), ({}, True), ({"prod": True}, True)])
def test_for_production_or_a_remote_host_yes_alone_is_not_enough(options: dict[str, bool], remote: bool) -> None:
    with pytest.raises(Protected) as caught:
        destroy(settings(yes=True, **options), remote=remote)
    assert "4 users" in caught.value.message
    assert caught.value.hint == "pass --confirm cruddur"
    destroy(settings(confirm="cruddur", **options), remote=remote)


@pytest.mark.parametrize("name", ["Cruddur", "cruddur ", "cruddu", "", "prod"])
def test_confirm_must_be_the_exact_name_even_with_yes(name: str) -> None:
    for options in ({"prod": True}, {"yes": True}):
        with pytest.raises(Protected):
            destroy(settings(confirm=name, **options))


def test_without_a_terminal_it_refuses_and_names_the_flag() -> None:
    with pytest.raises(Protected) as caught:
        destroy(settings())
    assert (caught.value.hint, int(caught.value.exit_code)) == ("pass --yes", 6)


def test_replacing_what_was_seeded_asks_for_the_name_only_in_production() -> None:
    def replace(s: Settings, *, remote: bool = False) -> None:
        confirm.replace(s, what="table t", name="t", remote=remote)

    replace(settings())
    replace(settings(prod=True, confirm="t"))
    for s, remote in (
        (settings(prod=True), False),
        (settings(yes=True), True),
        (settings(prod=True, confirm="u"), False),
    ):
        with pytest.raises(Protected):
            replace(s, remote=remote)


Typed = Callable[[str], None]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Types a line on a terminal, which stderr is as well."""
    monkeypatch.setenv("NO_COLOR", "1")

    def at(line: str) -> None:
        keyboard = io.StringIO(line)
        monkeypatch.setattr(keyboard, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", keyboard)
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    return at


@pytest.mark.parametrize("answer", ["y", "Y", "yes", "YES"])
def test_a_local_store_is_destroyed_for_a_yes(typed: Typed, answer: str) -> None:
    typed(f"{answer}\n")
    destroy(settings())


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "ye\n", "cruddur\n"])
def test_every_other_answer_changes_nothing(typed: Typed, answer: str) -> None:
    typed(answer)
    with pytest.raises(Protected, match=r"Not confirmed\. Nothing was changed\."):
        destroy(settings())


def test_where_the_name_is_asked_for_yes_is_not_an_answer(typed: Typed) -> None:
    for options, remote in (({"prod": True}, False), ({}, True)):
        typed("y\n")
        with pytest.raises(Protected, match="Nothing was changed"):
            destroy(settings(**options), remote=remote)
        typed("cruddur\n")
        destroy(settings(**options), remote=remote)


def test_a_machine_format_asks_nothing_on_a_terminal_either(typed: Typed) -> None:
    for options, hint in (({}, "pass --yes"), ({"prod": True}, "pass --confirm cruddur")):
        typed("cruddur\n" if options else "y\n")
        with pytest.raises(Protected) as caught:
            destroy(settings(output="json", **options))
        assert caught.value.hint == hint


@pytest.mark.parametrize("stream", ["stdin", "stderr"])
def test_without_stdin_or_stderr_on_a_terminal_nothing_is_asked(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    typed("y\n")
    monkeypatch.setattr(f"sys.{stream}.isatty", lambda: False)
    with pytest.raises(Protected, match="there is no terminal to ask on"):
        destroy(settings())
    assert confirm.choose(settings(), "Which?", ["one", "none"]) is None


def test_a_dry_run_of_a_seed_in_production_asks_for_no_name() -> None:
    confirm.replace(settings(prod=True, dry_run=True), what="table t", name="t", remote=False)


def test_a_seed_in_production_says_what_it_replaces(typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    typed("t\n")
    confirm.replace(settings(prod=True), what="table t", name="t", remote=False)
    assert "Mock data will be written to table t. Type t to continue:" in capsys.readouterr().err
    typed("t\n")
    confirm.replace(settings(prod=True), what="table t", name="t", remote=False, sentence="Two rows are replaced.")
    assert "Two rows are replaced. Type t to continue:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "answer"), [("o", "o"), ("Once\n", "o"), ("a\n", "a"), ("x\n", "n"), ("\n", "n"), ("", "n")]
)
def test_a_choice_is_the_first_letter_and_by_default_the_last_answer(
    typed: Typed, capsys: pytest.CaptureFixture[str], line: str, answer: str
) -> None:
    typed(line)
    assert confirm.choose(settings(), "Which?", ["once", "all", "none"]) == answer
    assert "Which? [o]nce, [a]ll, [n]one" in capsys.readouterr().err


def test_on_a_terminal_a_production_table_is_dropped_only_for_its_typed_name(
    environment: dict[str, str], tmp_path: Path
) -> None:
    aws, table = environment["AWS_ENDPOINT_URL_DYNAMODB"], environment["DDB_MESSAGE_TABLE"]
    (tmp_path / "home" / "cruddur.toml").write_text(f'[prod]\ndynamodb_endpoint = "{aws}"\n')
    environment |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "us-east-1"}
    environment["NO_PROXY"] = "127.0.0.1"
    made = in_terminal(environment, "ddb", "schema-load", "--prod", cwd=tmp_path / "home")
    assert made.code == 0, made.out
    for typed, code in (("yes\n", 6), ("\n", 6), (f"{table.upper()}\n", 6), (f"{table}\n", 0)):
        ran = in_terminal(environment, "ddb", "drop", "--prod", "--yes", cwd=tmp_path / "home", typed=typed)
        assert f"Type {table} to continue" in " ".join(re.sub(r"\x1b\[[\d;]*m", "", ran.out).split())
        assert ran.code == code


def test_a_question_without_an_answer_ends_its_line(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_terminal(environment, "ddb", "schema-load", cwd=tmp_path / "home").code == 0
    ran = in_terminal(environment, "ddb", "drop", cwd=tmp_path / "home", typed="\x04", env={"NO_COLOR": "1"})  # Ctrl-D
    assert "[y/N] \n" in ran.out
    assert ran.code == 6

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    keyboard = io.StringIO()
    monkeypatch.setattr(keyboard, "readline", interrupted)
    monkeypatch.setattr(keyboard, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", keyboard)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(KeyboardInterrupt):
        destroy(settings())
    assert capsys.readouterr().err.endswith("[y/N] \n")
