"""The directories that the embedded stack accepts, and the files that it deletes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cruddur_cli.errors import NotConfigured
from cruddur_cli.local import cluster, stack
from cruddur_cli.local import home as homes

from .engines import client, keys, make_table

OLD = Path(__file__).parent / "state_of_0_1_0"


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def checkout(home: Path) -> dict[str, bytes | None]:
    """Create a project directory with folders of the same names; its files."""
    for name in ("aws/state/dynamodb.json", "aws/log", "postgres/data/PG_VERSION", "postgres/schema.sql", "README.md"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    return tree(home)


def test_a_directory_with_other_files_is_refused_and_not_touched(home: Path) -> None:
    before = checkout(home)
    mode = home.stat().st_mode
    for act in (stack.up, stack.reset, stack.belongings):
        with pytest.raises(NotConfigured, match="is not a state directory of cruddur and is not empty") as caught:
            act()
        assert caught.value.hint and "CRUDDUR_HOME" in caught.value.hint
    stack.down()
    stack.status()
    assert (tree(home), home.stat().st_mode) == (before, mode)
    shutil.rmtree(home)


def test_a_directory_that_cannot_be_read_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        # Root may read everything.
        patch.setattr(Path, "iterdir", refused)
        with pytest.raises(NotConfigured, match=f"cannot use {home}: Permission denied"):
            stack.reset()
        stack.down()


def empty(home: Path) -> None:
    home.mkdir()


def ignored_by_git(home: Path) -> None:
    home.mkdir()
    (home / ".gitignore").write_text("*\n")


def of_a_file_system(home: Path) -> None:
    (home / "lost+found").mkdir(parents=True)


def with_stream_checkpoints(home: Path) -> None:
    (home / "streams").mkdir(parents=True)


def of_0_1_0(home: Path) -> None:
    shutil.copytree(OLD, home)


def of_0_1_0_among_other_files(home: Path) -> None:
    shutil.copytree(OLD, home)
    (home / "README.md").touch()


@pytest.mark.parametrize(
    "make", [empty, ignored_by_git, of_a_file_system, with_stream_checkpoints, of_0_1_0, of_0_1_0_among_other_files]
)
def test_an_empty_directory_or_a_state_directory_is_used(home: Path, make: Callable[[Path], None]) -> None:
    make(home)
    assert homes.prepare() == home
    assert (home / homes.MARKER).is_file()
    homes.check_own(home)


def test_a_stack_knows_the_other_checkouts_of_a_database_once(home: Path, tmp_path: Path) -> None:
    homes.prepare()
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    for folder in (one, two, three):
        folder.mkdir()
    assert homes.other_checkouts(home, one) == []
    homes.note_checkout(home, one)
    assert homes.other_checkouts(home, one) == []
    assert homes.other_checkouts(home, two) == [one]
    homes.note_checkout(home, two)
    assert homes.other_checkouts(home, one) == homes.other_checkouts(home, two) == []
    one.rmdir()
    assert homes.other_checkouts(home, three) == [two]
    (home / homes.CHECKOUTS).write_text('{"folders": 7}')
    assert homes.other_checkouts(home, three) == []
    homes.note_checkout(home, three)
    assert homes.other_checkouts(home, two) == [three]
    stack.reset()
    assert homes.other_checkouts(home, two) == []


def test_reset_deletes_only_its_own_files(home: Path) -> None:
    stack.up()
    made = tree(home)
    other_files = [
        "aws/main.tf",
        "aws/state/terraform.tfstate",
        "postgres/schema.sql",
        "aws/generation-1/notes",
        "README.md",
    ]
    for name in other_files:
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text("other")
    data = cluster.data_directory(home)
    folders = stack.reset()
    assert folders == [home / "postgres", home / "aws"]
    assert {name for name, content in tree(home).items() if content == b"other"} == set(other_files)
    remaining = {name for name, content in tree(home).items() if content is not None} - set(other_files)
    assert remaining == {"lock", "ports.json", homes.IGNORE, homes.MARKER} <= made.keys() and not data.exists()


@pytest.mark.parametrize("next_is_reset", [False, True])
def test_every_command_works_after_a_killed_reset(
    home: Path, monkeypatch: pytest.MonkeyPatch, next_is_reset: bool
) -> None:
    stack.up(aws=False)

    def die(path: Path) -> None:
        (path / "PG_VERSION").unlink(missing_ok=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", die)
        stack.reset()
    if next_is_reset:
        assert stack.reset() == []
    assert stack.up(aws=False).postgres_url


def test_reset_names_every_folder_that_it_deletes(home: Path) -> None:
    stack.up()
    named = stack.belongings()
    assert cluster.data_directory(home).parent in named
    before = {path for path in home.rglob("*") if path.is_file()}
    assert stack.reset() == []
    deleted = {path for path in before if not path.exists()}
    assert deleted and all(any(path.is_relative_to(folder) for folder in named) for path in deleted)
    assert not any(folder.exists() for folder in named)
    assert stack.belongings() == []


def test_deleted_data_of_aws_is_reported(home: Path, sentences: list[str]) -> None:
    stack.up()
    make_table(client("dynamodb"), "a")
    stack.down()
    shutil.rmtree(home / "aws")
    stack.up(say=sentences.append)
    assert f"{home / 'aws'} was deleted by another program" in sentences[0] and "`cruddur setup`" in sentences[0]
    assert client("dynamodb").list_tables()["TableNames"] == []
    stack.down()
    sentences.clear()
    stack.up(say=sentences.append)
    assert not [sentence for sentence in sentences if "deleted" in sentence], "it is said once"


def test_deleted_data_of_postgresql_is_reported(home: Path, sentences: list[str]) -> None:
    stack.up()
    make_table(client("dynamodb"), "a")
    stack.down()
    shutil.rmtree(home / "postgres")
    shutil.rmtree(cluster.data_directory(home), ignore_errors=True)
    stack.up(say=sentences.append)
    assert "The data of the embedded PostgreSQL is gone" in sentences[0]
    assert keys(client("dynamodb")) == ["a"]


def test_an_engine_that_never_ran_is_not_reported(home: Path, sentences: list[str]) -> None:
    stack.up(aws=False)
    stack.down()
    stack.up(say=sentences.append)
    stack.reset()
    stack.up(say=sentences.append)
    assert not [sentence for sentence in sentences if "deleted" in sentence]


def test_the_embedded_stack_names_wsl_where_fcntl_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(NotConfigured, match="Linux and macOS") as caught:
        homes.prepare()
    assert "WSL" in str(caught.value.hint)


def test_an_interrupted_reset_is_not_reported_as_another_program(
    home: Path, sentences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.up(postgres=False)
    stack.down()

    def interrupted(_: Path, engine: str, *, has_data: bool) -> None:
        raise KeyboardInterrupt(engine, has_data)

    with monkeypatch.context() as patch:
        # As after a kill: the data is deleted, and nobody has noted it.
        patch.setattr(homes, "note_data", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stack.reset()
    assert homes.in_reset(home) == {"aws"}
    stack.up(postgres=False, say=sentences.append)
    assert f"{home / 'aws'} was deleted by a `cruddur local reset` that was interrupted" in sentences[0]
    assert homes.in_reset(home) == set()
    stack.down()
    sentences.clear()
    stack.up(postgres=False, say=sentences.append)
    assert not any("is gone" in sentence for sentence in sentences)
