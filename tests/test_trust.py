"""Only files of the user, of root, and in folders that the user trusts are used."""

from __future__ import annotations

# Here, because an account that may not read Python's own modules cannot import them later.
import grp
import os
import pwd
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cruddur_cli import settings, trust
from cruddur_cli.errors import BadInput, NotConfigured
from cruddur_cli.postgres.migrations import files, python_files
from tests import runs
from tests.commands.conftest import Here, here  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("soon")
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
    """A ``cruddur.toml`` in a new folder, in which commands run."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    path = folder / "cruddur.toml"
    path.write_text(f'region = "{MARK}"\n')
    path.chmod(0o644)
    monkeypatch.chdir(folder)
    return path


def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process seem to run as another user than the owner of the test's files."""
    mine = os.geteuid() + 4321
    monkeypatch.setattr(os, "geteuid", lambda: mine)
    real = os.fstat

    def owned(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        found[4] = found[4] or 4322  # root's files are obeyed: these are somebody's
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", owned)


def test_a_users_own_file_is_used(file: Path) -> None:
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
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: owner)
    monkeypatch.setattr(pwd, "getpwall", lambda: [owner, *(SimpleNamespace(pw_gid=gid) for gid in others)])
    monkeypatch.setattr(grp, "getgrgid", lambda gid: SimpleNamespace(gr_mem=members))
    assert trust._is_private(1000, 1001) == is_private


def test_a_shared_group_that_can_only_read_is_accepted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_is_private", lambda gid, uid: False)
    for mode in (0o600, 0o640, 0o644, 0o755):
        file.chmod(mode)
        assert settings.load().region == MARK


def test_permissions_that_a_file_system_makes_up_do_not_count(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.chmod(0o777)
    monkeypatch.setattr(trust, "_has_no_permissions", lambda path: True)
    assert settings.load().region == MARK


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:50 / /mnt/my\\040disk rw - vfat /dev/sdb1 rw
31 30 0:51 / /mnt/my\\040disk/deep rw shared:9 master:2 - 9p drvfs rw
32 22 0:52 / /mnt rw - tmpfs tmpfs rw
33 22 0:53 / /twice rw - vfat /dev/sdc1 rw
34 33 0:54 / /twice rw - ext4 /dev/sdd1 rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home/me", "ext4"),
        ("/mnt", "tmpfs"),
        ("/mnt/my disk", "vfat"),
        ("/mnt/my disk/a/b", "vfat"),
        ("/mnt/my disk/deep/a", "9p"),
        ("/mnt/my diskette", "tmpfs"),
        ("/twice/a", "ext4"),
    ],
)
def test_a_path_is_on_the_file_system_that_is_mounted_nearest_above_it(path: str, kind: str) -> None:
    assert trust._file_system(Path(path), MOUNTS) == kind
    assert trust._file_system(Path(path), "") == ""


def test_where_the_file_systems_are_not_listed_permissions_count(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.chmod(0o646)

    def unlisted(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", unlisted)
    with pytest.raises(NotConfigured, match="can be written by every user"):
        settings.load()


def test_a_list_of_trusted_folders_that_others_can_write_trusts_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.chmod(0o646)
    listed = trust.add(file.parent)
    assert stat.S_IMODE(listed.stat().st_mode) == 0o600
    assert stat.S_IMODE(listed.parent.stat().st_mode) == 0o700
    assert trust.add(file.parent.parent) == listed
    assert listed.read_text().splitlines() == [str(file.parent), str(file.parent.parent)]
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


def test_a_folder_that_all_can_write_is_refused_unless_files_stay_their_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder" / "16811528612904313_add.py"
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.parent.chmod(0o1777)
    trust.check(path)
    path.parent.chmod(0o777)
    with pytest.raises(NotConfigured, match="folder can be written by every user"):
        trust.check(path)
    monkeypatch.setenv(trust.VARIABLE, str(path.parent))
    trust.check(path)


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


def test_a_link_of_another_user_is_refused_until_its_folder_is_trusted(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "elsewhere.toml"
    file.rename(target)
    file.symlink_to(target)
    assert settings.load().region == MARK
    real = Path.lstat

    def owned(path: Path) -> os.stat_result:
        found = list(real(path))
        found[4] = os.geteuid() + 4321
        return os.stat_result(found)

    monkeypatch.setattr(Path, "lstat", owned)
    with pytest.raises(NotConfigured, match="is a link of another user"):
        settings.load()
    monkeypatch.setenv(trust.VARIABLE, str(file.parent))
    assert settings.load().region == MARK


# Accounts that no system gives out by itself; a process needs no entry in a file to have one.
MINE, THEIRS = 64321, 64322
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of other users and becomes one of them")


@pytest.fixture
def shared(this_run: runs.Run) -> Iterator[Path]:
    """A folder that every account can enter, with a folder ``checkout`` that all can write."""
    folder = this_run.own(f"accounts-{os.getpid()}")
    (folder / "checkout").mkdir()
    (folder / "checkout").chmod(0o1777)
    yield folder / "checkout"
    shutil.rmtree(folder)


def put(path: Path, owner: int, mode: int = 0o644, *, group: int | None = None, text: str = "") -> Path:
    path.write_text(text or f'region = "{MARK}"\n')
    os.chown(path, owner, owner if group is None else group)
    path.chmod(mode)
    return path


def as_user(uid: int, verb: Callable[[], str]) -> str:
    """The result of ``verb`` in a process of that account, or the code and the message of its error."""
    settings.load()  # what it imports late, the other account may not be allowed to read
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        said = "it ended otherwise"
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            said = verb()
        except NotConfigured as error:
            said = f"{error.code}: {error.message}"
        except BaseException as error:  # noqa: BLE001 - it goes to the parent, whatever it is
            said = repr(error)
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def region_in(folder: Path, **variables: str) -> Callable[[], str]:
    def verb() -> str:
        os.environ.update({"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")} | variables)
        os.chdir(folder)
        return str(settings.load().region)

    return verb


@as_root
@pytest.mark.parametrize(
    ("owner", "group", "mode", "said"),
    [
        (MINE, MINE, 0o644, MARK),
        (MINE, MINE, 0o600, MARK),
        (MINE, MINE, 0o664, MARK),
        (0, 0, 0o644, MARK),
        (MINE, THEIRS, 0o664, f"can be written by the group number {THEIRS}"),
        (MINE, MINE, 0o646, "can be written by every user"),
        (0, 0, 0o666, "can be written by every user"),
        (THEIRS, THEIRS, 0o644, f"belongs to another user (number {THEIRS})"),
        (THEIRS, MINE, 0o664, f"belongs to another user (number {THEIRS})"),
        (THEIRS, THEIRS, 0o600, "Permission denied"),
    ],
)
def test_the_files_of_real_accounts(shared: Path, owner: int, group: int, mode: int, said: str) -> None:
    put(shared / "cruddur.toml", owner, mode, group=group)
    found = as_user(MINE, region_in(shared))
    assert said in found, found
    if said != MARK:
        assert MARK not in found and found.partition(":")[0] in {"not_trusted", "not_configured"}, found
    if "another" in said or "every" in said:
        assert as_user(MINE, region_in(shared, **{trust.VARIABLE: str(shared)})) == MARK


@as_root
def test_root_uses_files_of_another_account_only_after_sudo(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(shared / "cruddur.toml", THEIRS)
    monkeypatch.chdir(shared)
    with pytest.raises(NotConfigured, match="belongs to another user"):
        settings.load()
    monkeypatch.setenv("SUDO_UID", str(MINE))
    with pytest.raises(NotConfigured, match="belongs to another user"):
        settings.load()
    monkeypatch.setenv("SUDO_UID", str(THEIRS))
    assert settings.load().region == MARK


@as_root
def test_a_file_that_another_account_replaces_is_refused(shared: Path) -> None:
    file = shared / "cruddur.toml"
    own = put(shared / "own.toml", MINE)
    theirs = put(shared / "theirs.toml", THEIRS)
    made: dict[str, Callable[[], object]] = {
        "is a link of another user": lambda: file.symlink_to(own),
        "belongs to another user": lambda: file.symlink_to(theirs),
        "is not a regular file": lambda: os.mkfifo(file),
        "has 65,537 bytes": lambda: put(file, THEIRS, text="#" * 65_537),
    }
    for said, make in made.items():
        make()
        os.chown(file, THEIRS, THEIRS, follow_symlinks=False)
        found = as_user(MINE, region_in(shared))
        assert said in found and MARK not in found, found
        file.unlink()
    file.symlink_to(own)
    os.chown(file, MINE, MINE, follow_symlinks=False)
    assert as_user(MINE, region_in(shared)) == MARK


@as_root
def test_a_list_of_trusted_folders_of_another_account_trusts_nothing(shared: Path) -> None:
    put(shared / "cruddur.toml", THEIRS)
    (shared / "config" / "cruddur").mkdir(parents=True)
    listed = put(shared / "config" / "cruddur" / "trusted-folders", THEIRS, text=f"{shared}\n")
    assert "belongs to another user" in as_user(MINE, region_in(shared))
    os.chown(listed, MINE, MINE)
    assert as_user(MINE, region_in(shared)) == MARK


@as_root
@pytest.mark.parametrize("whose", ["file", "folder"])
def test_a_python_migration_of_a_real_account_is_not_run(shared: Path, whose: str) -> None:
    folder = shared / "migrations"
    folder.mkdir()
    proof = shared / "proof"
    text = MIGRATION.format(proof=str(proof))
    path = put(folder / "16811528612904313_add.py", THEIRS if whose == "file" else MINE, text=text)
    if whose == "folder":
        os.chown(folder, THEIRS, THEIRS)
    assert "belongs to another user" in as_user(MINE, lambda: python_files.sql(path, "migrate_sql"))
    assert not proof.exists()
