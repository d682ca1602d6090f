"""Whose files are obeyed: the user's own, root's, and those in folders that the user trusts."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from cruddur_cli import settings, trust
from cruddur_cli.errors import BadInput, NotConfigured
from cruddur_cli.postgres.migrations import files, python_files
from tests.commands.conftest import Here, here  # noqa: F401 - a fixture

MARK = "cruddur-of-a-stranger"
MIGRATION = """
from pathlib import Path
Path({proof!r}).write_text("it ran")
class AddMigration:
    def migrate_sql():
        return "SELECT 1"
    def rollback_sql():
        return "SELECT 1"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``cruddur.toml`` in a folder of its own, in which commands run."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    path = folder / "cruddur.toml"
    path.write_text(f'region = "{MARK}"\n')
    path.chmod(0o644)
    monkeypatch.chdir(folder)
    return path


def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process belongs to another user than the files of the test."""
    mine = os.geteuid() + 4321
    monkeypatch.setattr(os, "geteuid", lambda: mine)
    real = os.fstat

    def owned(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        found[4] = found[4] or 4322  # root's files are obeyed: these are somebody's
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", owned)


def test_one_s_own_file_is_obeyed(file: Path) -> None:
    assert settings.load().region == MARK


def test_a_file_of_64_kb_is_read_and_one_byte_more_is_not(file: Path) -> None:
    file.write_bytes(b"#" * 64 * 1024)
    assert trust.read(file) == file.read_bytes()
    file.write_bytes(b"#" * (64 * 1024 + 1))
    with pytest.raises(NotConfigured, match="has 65,537 bytes; at most 65,536 are read"):
        trust.read(file)


def test_a_file_of_another_user_is_refused_until_its_folder_is_trusted(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strangers(monkeypatch)
    with pytest.raises(NotConfigured) as caught:
        settings.load()
    assert caught.value.code == "not_trusted"
    assert "another user" in caught.value.message
    assert MARK not in caught.value.message
    for folder in (str(file.parent), str(file.parent.parent), "*"):
        monkeypatch.setenv(trust.VARIABLE, f"/elsewhere{os.pathsep}{folder}")
        assert settings.load().region == MARK
    monkeypatch.setenv(trust.VARIABLE, str(file.parent / "deeper"))
    with pytest.raises(NotConfigured):
        settings.load()


def test_a_file_that_every_user_can_write_is_refused_until_trusted(
    file: Path,
    here: Here,  # noqa: F811
) -> None:
    os.chdir(file.parent)
    file.chmod(0o646)
    ran = here("config", "-o", "json")
    assert ran.code == 3
    assert "every user" in ran.err
    assert MARK not in ran.out + ran.err
    assert here("config", "--trust").code == 0
    assert MARK in here("config", "-o", "json").out


def test_a_private_group_may_write_and_a_shared_one_may_not(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.chmod(0o664)
    monkeypatch.setattr(trust, "_is_private", lambda gid, uid: True)
    assert settings.load().region == MARK
    monkeypatch.setattr(trust, "_is_private", lambda gid, uid: False)
    with pytest.raises(NotConfigured, match="by the group"):
        settings.load()


@pytest.mark.parametrize(
    ("members", "others", "is_private"),
    [([], [], True), (["owner"], [], True), (["owner", "x"], [], False), (["x"], [], False), ([], [1000], False)],
)
def test_a_group_is_private_that_has_no_member_but_the_owner(
    monkeypatch: pytest.MonkeyPatch, members: list[str], others: list[int], is_private: bool
) -> None:
    owner = SimpleNamespace(pw_name="owner", pw_gid=1001)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: owner)
    monkeypatch.setattr("pwd.getpwall", lambda: [owner, *(SimpleNamespace(pw_gid=gid) for gid in others)])
    monkeypatch.setattr("grp.getgrgid", lambda gid: SimpleNamespace(gr_mem=members))
    assert trust._is_private(1000, 1001) == is_private


def test_a_shared_group_that_may_only_read_is_no_doubt(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_is_private", lambda gid, uid: False)
    for mode in (0o600, 0o640, 0o644, 0o755):
        file.chmod(mode)
        assert settings.load().region == MARK


def test_permissions_that_a_file_system_makes_up_do_not_count(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.chmod(0o777)
    monkeypatch.setattr(trust, "_has_no_permissions", lambda path: True)
    assert settings.load().region == MARK


def test_a_list_of_trusted_folders_that_others_can_write_trusts_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.chmod(0o646)
    listed = trust.add(file.parent)
    assert settings.load().region == MARK
    listed.chmod(0o622)
    with pytest.raises(NotConfigured):
        settings.load()


@pytest.mark.parametrize("kind", ["pipe", "folder", "large", "nested", "device", "loop"])
def test_any_wrong_content_is_refused_with_one_line(file: Path, here: Here, kind: str) -> None:  # noqa: F811
    os.chdir(file.parent)
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "large":
        with file.open("wb") as out:
            out.truncate(1 << 30)
    elif kind == "nested":
        file.write_text("table = " + "[" * 50_000 + "]" * 50_000)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    else:
        file.symlink_to(file)
    ran = here("config")
    assert ran.code == 3
    assert "Traceback" not in ran.err
    assert len(ran.err.splitlines()) <= 2


def test_a_python_migration_of_another_user_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    proof = tmp_path / "proof"
    path = folder / "16811528612904313_add.py"
    path.write_text(MIGRATION.format(proof=str(proof)))
    path.chmod(0o666)
    with pytest.raises((NotConfigured, BadInput), match="every user"):
        python_files.sql(path, "migrate_sql")
    assert not proof.exists()


def test_a_migration_of_sql_of_another_user_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    path = folder / "16811528612904313_add.sql"
    path.write_text("-- migrate:up\nSELECT 1;\n")
    assert "SELECT 1" in files.up(files.find(folder)[0])
    path.chmod(0o646)
    with pytest.raises(NotConfigured, match="every user"):
        files.up(files.find(folder)[0])
