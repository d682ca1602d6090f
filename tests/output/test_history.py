"""The history: whole lines from many processes, a limited size, readable for the owner only, and no secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli import times
from cruddur_cli.errors import (
    BadInput,
    CannotConnect,
    CruddurError,
    Incomplete,
    NotConfigured,
    NotFound,
    Protected,
    Refused,
)
from cruddur_cli.output import history

pytestmark = pytest.mark.usefixtures("soon")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history"


def ended(folder: Path, *arguments: str, code: int = 0, secrets: tuple[str, ...] = (), **options: Any) -> history.Entry:
    """The entry of a command that has begun and ended."""
    history.begin(prod=False, folder=lambda: folder, **options)
    assert history.end(arguments, code, secrets=lambda: secrets) is None
    return history.read(folder)[0][0]


def test_an_entry_has_command_time_folder_and_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "now", lambda: datetime(2026, 11, 20, 10, tzinfo=UTC))
    monkeypatch.setenv("LOGNAME", "andrew")
    history.begin(prod=True, folder=lambda: folder)
    for _ in range(2):
        history.acted_on("table t", "production")
    history.agreed("Table t will be destroyed: 3 items.")
    history.reported("table t deleted")
    history.counted({"deleted": 3, "dry_run": False, "source": "x", "rate": 1.5})
    assert history.end(["ddb", "drop", "--confirm", "a b"], 130, secrets=tuple) is None
    (entry,), damaged = history.read(folder)
    assert (entry.at, entry.user, entry.folder) == (datetime(2026, 11, 20, 10, tzinfo=UTC), "andrew", str(Path.cwd()))
    assert (entry.environment, entry.command) == ("production", "cruddur ddb drop --confirm 'a b'")
    assert (entry.stores, entry.reported, entry.counts) == (("table t",), ("table t deleted",), {"deleted": 3})
    assert (entry.warning, entry.exit_code, damaged) == ("Table t will be destroyed: 3 items.", 130, 0)
    assert entry.seconds >= 0


def test_one_store_that_is_not_local_marks_the_command(folder: Path) -> None:
    history.begin(prod=False, folder=lambda: folder)
    for store, environment in (("a", "local"), ("b", "AWS"), ("c", "local")):
        history.acted_on(store, environment)
    history.end(["x"], 0, secrets=tuple)
    assert (history.read(folder)[0][0].environment, history.read(folder)[0][0].stores) == ("AWS", ("a", "b", "c"))


def test_without_begin_nothing_is_written(folder: Path) -> None:
    history.reported("x")
    history.counted({"written": 1})
    assert history.end(["x"], 0, secrets=tuple) is None
    ended(folder, "first")
    history.begin(prod=False, folder=lambda: folder)
    history.forget()
    assert history.end(["x"], 0, secrets=tuple) is None
    assert [entry.command for entry in history.read(folder)[0]] == ["cruddur first"]


def test_a_command_that_changed_nothing_has_no_line_unless_it_failed(folder: Path) -> None:
    ended(folder, "first")
    for code in (0, 4):
        history.begin(prod=False, folder=lambda: folder)
        history.counted({"changed": 0, "unchanged": 7})
        assert history.end(["setup"], code, secrets=tuple) is None
    assert [(entry.command, entry.exit_code) for entry in history.read(folder)[0]] == [
        ("cruddur setup", 4),
        ("cruddur first", 0),
    ]


REFUSALS: list[tuple[CruddurError, bool]] = [
    (BadInput("x"), False),
    (Protected("x"), False),
    (NotFound("x"), False),
    (NotConfigured("x"), False),
    (Refused("x"), True),
    (CannotConnect("x"), True),
    (Incomplete("x"), True),
    (BadInput("x", fields={"in_table": 0, "line": True}), False),
    (BadInput("x", fields={"in_table": 7}), True),
]


@pytest.mark.parametrize(("error", "is_written"), REFUSALS)
def test_a_command_that_was_refused_before_it_changed_anything_has_no_line(
    folder: Path, error: CruddurError, is_written: bool
) -> None:
    def found(collect: Callable[[], object] = lambda: None) -> int:
        history.begin(prod=False, folder=lambda: folder)
        collect()
        history.failed(error)
        assert history.end(["x"], error.exit_code, secrets=tuple) is None
        return len(history.read(folder)[0])

    history.failed(error)  # no command runs
    assert found() == is_written
    assert found(lambda: history.reported("7 rows would be lost")) == 2 * is_written
    assert found(lambda: history.agreed("Table t will be destroyed.")) == 1 + 2 * is_written
    assert found(lambda: history.reported("table t: dropped", is_change=True)) == 2 + 2 * is_written


def test_a_wrong_setting_after_a_store_was_opened_is_recorded(folder: Path) -> None:
    """Credentials that expire."""
    history.begin(prod=True, folder=lambda: folder)
    history.acted_on("table t", "production")
    history.failed(NotConfigured("x"))
    history.end(["x"], 3, secrets=tuple)
    assert len(history.read(folder)[0]) == 1


def test_secrets_and_private_texts_are_not_written(folder: Path) -> None:
    history.begin(prod=False, folder=lambda: folder, private=["see you at noon", ""])
    for tell in (history.reported, history.agreed, lambda text: history.acted_on(text, "local")):
        tell("postgresql://me:hidden1@host/db and s3cret-word-of-mine")
    arguments = ["send", "see you at noon", "--url", "postgresql://me:hidden2@host/db", "", "s3cret-word-of-mine"]
    assert history.end(arguments, 0, secrets=lambda: ("s3cret-word-of-mine",)) is None
    text = (folder / history.NAME).read_text()
    for hidden in ("noon", "hidden1", "hidden2", "s3cret"):
        assert hidden not in text
    (entry,), _ = history.read(folder)
    assert entry.command == "cruddur send … --url postgresql://me:***@host/db '' ***"


def test_the_file_is_the_owners_alone(folder: Path) -> None:
    before = os.umask(0)
    try:
        ended(folder, "x")
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {history.NAME: 0o600, "lock": 0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", [history.NAME, "lock"])
def test_a_link_is_not_followed(folder: Path, tmp_path: Path, name: str) -> None:
    folder.mkdir(parents=True)
    (tmp_path / "other").write_text("of another program")
    (folder / name).symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic"):
        history.append(folder, b"{}")
    assert (tmp_path / "other").read_text() == "of another program"
    if name == history.NAME:
        with pytest.raises(OSError, match="symbolic"):
            history.read(folder)


def test_a_pipe_instead_of_the_file_is_refused_at_once(folder: Path) -> None:
    folder.mkdir(parents=True)
    os.mkfifo(folder / history.NAME)
    for use in (lambda: history.read(folder), lambda: history.append(folder, b"{}")):
        with pytest.raises(PermissionError, match="it is not a regular file"):
            use()


def test_a_file_of_another_user_is_neither_read_nor_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(folder, "x")
    before = (folder / history.NAME).read_bytes()
    real = os.fstat

    class Theirs:
        st_uid, st_mode = os.geteuid() + 1, 0o100666

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", lambda descriptor: Theirs())
        for use in (lambda: history.read(folder), lambda: history.append(folder, b"{}")):
            with pytest.raises(PermissionError, match="it belongs to another user"):
                use()
    assert os.fstat is real
    assert (folder / history.NAME).read_bytes() == before


def test_a_full_file_is_replaced_and_two_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_BYTES", 3000)
    for number in range(60):
        ended(folder, str(number))
        assert all(
            (folder / name).stat().st_size <= 3000
            for name in (history.NAME, history.BEFORE)
            if (folder / name).exists()
        )
    found = [int(entry.command.removeprefix("cruddur ")) for entry in history.read(folder)[0]]
    assert found == list(range(59, 59 - len(found), -1))
    assert 8 < len(found) < 30


def test_a_line_is_bounded(folder: Path) -> None:
    history.begin(prod=False, folder=lambda: folder)
    for number in range(5000):
        history.reported(f"{number} " + "x" * 5000)
    history.end(["y" * 100_000], 0, secrets=tuple)
    assert (folder / history.NAME).stat().st_size < 100_000


def test_incomplete_and_invalid_lines_do_not_hide_the_others(folder: Path) -> None:
    ended(folder, "first")
    with (folder / history.NAME).open("ab") as file:
        whole = json.loads((folder / history.NAME).read_bytes())
        for name, value in (("counts", {"written": "many"}), ("counts", 7), ("command", None), ("warning", [])):
            file.write(json.dumps({**whole, name: value}).encode() + b"\n")
        file.write(b"\xff\xfe\n" + b"[" * 200_000 + b"\n" + b'{"at": "no time"}\n[]\n\n{"at": "2026-')
    ended(folder, "second")
    found, damaged = history.read(folder)
    assert [entry.command for entry in found] == ["cruddur second", "cruddur first"]
    assert damaged == 9
    assert history.read(folder / "missing") == ([], 0)


def test_processes_that_write_at_once_lose_no_line(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cruddur_cli.output import history; history.MAX_BYTES = 40_000\n"
        "for n in range(40):\n"
        "    history.begin(prod=False, folder=lambda: Path(sys.argv[1]))\n"
        "    assert history.end([sys.argv[2], str(n)], 0, secrets=tuple) is None\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(folder), str(number)]) for number in range(4)]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 4
    found, damaged = history.read(folder)
    assert damaged == 0
    assert len(found) == 160
    assert {entry.command for entry in found} == {f"cruddur {w} {n}" for w in range(4) for n in range(40)}


def test_a_line_is_written_although_another_process_holds_the_lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr(history, "_LOCK_WAIT_S", 0.05)
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert ended(folder, "x").command == "cruddur x"


def test_the_reason_is_returned_if_the_history_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history.begin(prod=False, folder=lambda: tmp_path / "file" / "history")
    assert history.end(["x"], 0, secrets=tuple) == f"{tmp_path / 'file' / 'history'}: Not a directory."


def test_root_writes_nothing_into_the_home_of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under sudo, which may keep HOME."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    real = Path.stat

    class Theirs:
        st_uid, st_mode = 1000, 0o40700

    monkeypatch.setattr(Path, "stat", lambda path, **options: Theirs() if path == folder.parent.parent else real(path))
    with pytest.raises(PermissionError):
        history.append(folder, b"{}")
    assert not folder.parent.exists()


def test_a_text_is_cut_at_2000_characters_and_20_lines_and_stores_are_kept(folder: Path) -> None:
    history.begin(prod=False, folder=lambda: folder)
    history.agreed("x" * 2000)
    for number in range(21):
        history.reported(f"line {number}")
        history.acted_on(f"store {number}", "local")
    history.reported("y" * 2001)
    history.end(["x"], 0, secrets=tuple)
    (entry,), _ = history.read(folder)
    assert entry.warning == "x" * 2000
    assert entry.reported == (*(f"line {number}" for number in range(2, 21)), "y" * 1999 + "…")
    assert entry.stores == tuple(f"store {number}" for number in range(20))


def test_the_host_is_named_and_the_time_a_command_took_has_milliseconds(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.begin(prod=False, folder=lambda: folder)
    monkeypatch.setattr(history._running, "began", 1.0)
    monkeypatch.setattr("time.monotonic", lambda: 5.98765)
    history.end(["x"], 0, secrets=tuple)
    (entry,), _ = history.read(folder)
    assert (entry.host, entry.seconds) == (os.uname().nodename, 4.988)


@pytest.mark.parametrize(("size", "is_full"), [(999_998, False), (999_999, True)])
def test_a_file_of_a_million_bytes_is_full(folder: Path, size: int, is_full: bool) -> None:
    folder.mkdir(parents=True)
    (folder / history.NAME).write_bytes(b"\n" * size)
    history.append(folder, b"{}")
    assert (folder / history.BEFORE).exists() is is_full


def test_lines_follow_each_other_without_gaps(folder: Path) -> None:
    for line in (b"{1}", b"{2}", b"{3}"):
        history.append(folder, line)
    assert (folder / history.NAME).read_bytes() == b"{1}\n{2}\n{3}\n"
    (folder / history.NAME).write_bytes(b"{1")
    history.append(folder, b"{2}")
    assert (folder / history.NAME).read_bytes() == b"{1\n{2}\n"


def test_a_full_file_is_replaced_only_under_the_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(history, "MAX_BYTES", 3)
    history.append(folder, b"{1}")
    monkeypatch.setattr(history, "_LOCK_WAIT_S", 0.05)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        history.append(folder, b"{2}")
        assert not (folder / history.BEFORE).exists()
        monkeypatch.setattr(history, "_LOCK_WAIT_S", 60)
        release = threading.Timer(0.1, fcntl.flock, (held, fcntl.LOCK_UN))
        release.start()
        history.append(folder, b"{3}")
        release.join()
    assert (folder / history.BEFORE).read_bytes() == b"{1}\n{2}\n"
    assert (folder / history.NAME).read_bytes() == b"{3}\n"


def test_a_user_writes_below_but_not_into_another_users_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    history._check_owner(folder)
    folder.mkdir(parents=True)
    with pytest.raises(PermissionError) as caught:
        history._check_owner(folder)
    assert (caught.value.strerror, caught.value.filename) == ("it belongs to another user", str(folder))


def test_the_user_is_the_account_and_the_user_who_ran_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "root")
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert history._user() == "root"
    monkeypatch.setenv("SUDO_USER", "me")
    assert history._user() == "me (as root)"
    monkeypatch.setenv("SUDO_USER", "root")
    assert history._user() == "root"

    def unnamed() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", unnamed)
    monkeypatch.delenv("SUDO_USER")
    assert history._user() == str(os.getuid())
