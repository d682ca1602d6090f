"""Before something is lost: who is asked what, and which answer lets a command go on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.commands import confirm
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


@pytest.mark.parametrize(("options", "remote"), [({"prod": True}, False), ({}, True), ({"prod": True}, True)])
def test_for_production_or_a_remote_host_yes_alone_is_not_enough(options: dict[str, bool], remote: bool) -> None:
    with pytest.raises(Protected) as caught:
        destroy(settings(yes=True, **options), remote=remote)
    assert "4 users" in caught.value.message
    assert caught.value.hint == "add --confirm cruddur"
    destroy(settings(confirm="cruddur", **options), remote=remote)


@pytest.mark.parametrize("name", ["Cruddur", "cruddur ", "cruddu", "", "prod"])
def test_the_name_must_be_the_very_name_also_with_yes(name: str) -> None:
    for options in ({"prod": True}, {"yes": True}):
        with pytest.raises(Protected):
            destroy(settings(confirm=name, **options))


def test_without_a_terminal_it_refuses_and_names_the_flag() -> None:
    with pytest.raises(Protected) as caught:
        destroy(settings())
    assert (caught.value.hint, int(caught.value.exit_code)) == ("add --yes", 6)


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
        assert f"Type {table} to go on" in ran.out
        assert ran.code == code


def test_a_question_without_an_answer_ends_its_line(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_terminal(environment, "ddb", "schema-load", cwd=tmp_path / "home").code == 0
    ran = in_terminal(environment, "ddb", "drop", cwd=tmp_path / "home", typed="\x04")  # Ctrl-D
    assert "[y/N] \n" in ran.out
    assert ran.code == 6

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    keyboard = io.StringIO()
    monkeypatch.setattr(keyboard, "readline", interrupted)
    monkeypatch.setattr(keyboard, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", keyboard)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with pytest.raises(KeyboardInterrupt):
        destroy(settings())
    assert capsys.readouterr().err.endswith("[y/N] \n")
