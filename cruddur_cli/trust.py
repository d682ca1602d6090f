"""Refuses settings files and migrations that another user can have written, until their folder is trusted.

``cruddur.toml`` names stores, and Python migrations are code. So a file is not used if another user owns it or can
write it. The list of trusted folders works like git's ``safe.directory``.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from .errors import NotConfigured

VARIABLE = "CRUDDUR_TRUSTED_FOLDERS"
_LARGEST = 64 * 1024
"""The largest size of ``cruddur.toml``, in bytes."""
# File systems without owners and permissions, on which every file seems to be writable by every user.
_WITHOUT_PERMISSIONS = {
    "vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "9p", "drvfs", "cifs", "smb3", "vboxsf", "fakeowner",
    "fuse.vmhgfs-fuse", "fuse.grpcfuse", "fuse.osxfs",
}  # fmt: skip


def read(path: Path) -> bytes:
    """The content of a settings file that is safe to use.

    Raises FileNotFoundError or NotADirectoryError without a file, another OSError if it cannot be read, and
    NotConfigured if it is not a regular file, too large, or not trusted. Never waits: a pipe is refused unread.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotConfigured(f"{path} is not a regular file.", code="not_a_file")
        if status.st_size > _LARGEST:
            raise NotConfigured(
                f"{path} has {status.st_size:,} bytes; at most {_LARGEST:,} are read.", code="too_large"
            )
        _check(path, status)
        # With a link, another user could make one of the user's own files count in this folder.
        link = path.lstat()
        if stat.S_ISLNK(link.st_mode) and link.st_uid not in _own_uids():
            _refuse(path, path.parent, f"is a link of another user ({_user(link.st_uid)})")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(_LARGEST)
    finally:
        os.close(descriptor)


def check(path: Path) -> None:
    """Raise NotConfigured if another user owns or can write a file of code or its folder."""
    for each in (path, path.parent):
        _check(each, each.stat())


def add(folder: Path) -> Path:
    """Trust a folder and the folders below it; the file with the list of trusted folders."""
    file = _list_file()
    folder = folder.resolve()
    if folder not in _trusted(file):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file.open("a", encoding="utf-8") as out:
            out.write(f"{folder}\n")
        file.chmod(0o600)
    return file


def _check(path: Path, status: os.stat_result) -> None:
    if why := _risk(path, status):
        _refuse(path, path if stat.S_ISDIR(status.st_mode) else path.parent, why)


def _refuse(path: Path, folder: Path, why: str) -> None:
    if not _is_trusted(folder):
        raise NotConfigured(
            f"{path} {why}, so it is not used.",
            hint=f"check its contents, then: cruddur config --trust  (or export {VARIABLE}={folder})",
            code="not_trusted",
        )


def _risk(path: Path, status: os.stat_result) -> str:
    """How another user may have written a file; empty if only this user can have written it."""
    if status.st_uid not in _own_uids():
        return f"belongs to another user ({_user(status.st_uid)})"
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:  # users cannot replace each other's files there
        return ""
    if status.st_mode & stat.S_IWOTH and not _has_no_permissions(path):
        return "can be written by every user"
    if (
        status.st_mode & stat.S_IWGRP
        and not _is_private(status.st_gid, status.st_uid)
        and not _has_no_permissions(path)
    ):
        return f"can be written by the group {_group(status.st_gid)}"
    return ""


def _own_uids() -> set[int]:
    """The users whose files are used: this user, root, and for root the user who called sudo."""
    is_sudo = os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdecimal()
    return {os.geteuid(), 0, *([int(os.environ["SUDO_UID"])] if is_sudo else [])}


def _is_private(gid: int, uid: int) -> bool:
    """Whether the owner is the only member of a group: most systems give each user such a group."""
    import grp
    import pwd

    try:
        owner = pwd.getpwuid(uid)
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        return gid == os.getegid()
    return members <= {owner.pw_name} and not [one for one in pwd.getpwall() if one.pw_gid == gid != owner.pw_gid]


def _has_no_permissions(path: Path) -> bool:
    """Whether a path is on a file system without permissions."""
    kind = ""
    with suppress(OSError):
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        kind = _file_system(path.resolve(), mounts)
    return kind in _WITHOUT_PERMISSIONS


def _file_system(path: Path, mounts: str) -> str:
    """The type of the file system that a path is on, by the lines of ``/proc/self/mountinfo``; empty if unknown."""
    kinds: dict[Path, str] = {}
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        mount = Path(before.split()[4].encode().decode("unicode_escape"))
        if path.is_relative_to(mount):
            kinds[mount], _, _ = after.partition(" ")  # a later line hides an earlier one
    return kinds[max(kinds, key=lambda mount: len(mount.parts))] if kinds else ""


def _is_trusted(folder: Path) -> bool:
    folder = folder.resolve()
    named = [part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    if "*" in named:
        return True
    trusted = {Path(part).expanduser().resolve() for part in named} | _trusted(_list_file())
    return bool(trusted & {folder, *folder.parents})


def _trusted(file: Path) -> set[Path]:
    """The folders in the user's own list; none if another user could have written the list."""
    try:
        status = file.stat()
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWOTH | stat.S_IWGRP):
            return set()
        return {Path(line) for line in file.read_text(encoding="utf-8").splitlines() if line}
    except (OSError, UnicodeDecodeError):
        return set()


def _list_file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "cruddur" / "trusted-folders"


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"number {uid}"


def _group(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"number {gid}"
