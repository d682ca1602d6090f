"""Who may tell this program what to do: files that only the user, or a user whom they trust, can have written.

``cruddur.toml`` names stores and Python migrations are code, so neither is taken from a file that another user owns or
that every user can write, until its folder is trusted; git's ``safe.directory`` is the model.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from .errors import NotConfigured

VARIABLE = "CRUDDUR_TRUSTED_FOLDERS"
_LARGEST = 64 * 1024
"""The most bytes that ``cruddur.toml`` may have."""
# File systems that make up owners and permissions: every file looks writable by every user there.
_WITHOUT_PERMISSIONS = {
    "vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "9p", "drvfs", "cifs", "smb3", "vboxsf", "fakeowner",
    "fuse.vmhgfs-fuse", "fuse.grpcfuse", "fuse.osxfs",
}  # fmt: skip


def read(path: Path) -> bytes:
    """The content of a small file that may tell this program what to do.

    Raises FileNotFoundError or NotADirectoryError where there is none, another OSError where it cannot be read, and
    NotConfigured where it is no regular file, too large, or not to be trusted. Never waits: a pipe is refused unread.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOCTTY", 0))
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotConfigured(f"{path} is not a regular file.", code="not_a_file")
        if found.st_size > _LARGEST:
            raise NotConfigured(f"{path} has {found.st_size:,} bytes; at most {_LARGEST:,} are read.", code="too_large")
        _check(path, found)
        # Another user's link to one of the user's own files says that it counts here.
        link = path.lstat()
        if stat.S_ISLNK(link.st_mode) and link.st_uid not in _mine():
            _refuse(path, path.parent, f"is a link of another user ({_user(link.st_uid)})")
        content = b""
        while part := os.read(descriptor, _LARGEST + 1 - len(content)):
            content += part
        return content
    finally:
        os.close(descriptor)


def check(path: Path) -> None:
    """Raise NotConfigured where another user owns a file of code or its folder, or where every user can write them."""
    for each in (path, path.parent):
        _check(each, each.stat())


def add(folder: Path) -> Path:
    """Trust a folder and those below it from now on; returns the file that says so."""
    file = _list()
    folder = folder.resolve()
    if folder not in _trusted(file):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file.open("a", encoding="utf-8") as out:
            out.write(f"{folder}\n")
        file.chmod(0o600)
    return file


def _check(path: Path, found: os.stat_result) -> None:
    if why := _doubt(path, found):
        _refuse(path, path if stat.S_ISDIR(found.st_mode) else path.parent, why)


def _refuse(path: Path, folder: Path, why: str) -> None:
    if not _is_trusted(folder):
        raise NotConfigured(
            f"{path} {why}, so it is not used.",
            hint=f"check its contents, then: cruddur config --trust  (or export {VARIABLE}={folder})",
            code="not_trusted",
        )


def _doubt(path: Path, found: os.stat_result) -> str:
    """Why a file may be another user's word; empty where only this user can have written it."""
    if found.st_uid not in _mine():
        return f"belongs to another user ({_user(found.st_uid)})"
    if stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX:  # a user cannot replace another user's file there
        return ""
    if found.st_mode & stat.S_IWOTH and not _has_no_permissions(path):
        return "can be written by every user"
    if found.st_mode & stat.S_IWGRP and not _is_private(found.st_gid, found.st_uid) and not _has_no_permissions(path):
        return f"can be written by the group {_group(found.st_gid)}"
    return ""


def _mine() -> set[int]:
    """The accounts whose word counts: the user's, root's, and for root the user who became root by sudo."""
    is_sudo = os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdecimal()
    return {os.geteuid(), 0, *([int(os.environ["SUDO_UID"])] if is_sudo else [])}


def _is_private(gid: int, uid: int) -> bool:
    """Whether a group has no member but the owner, as most systems give each user one."""
    import grp
    import pwd

    try:
        owner = pwd.getpwuid(uid)
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        return gid == os.getegid()
    return members <= {owner.pw_name} and not [one for one in pwd.getpwall() if one.pw_gid == gid != owner.pw_gid]


def _has_no_permissions(path: Path) -> bool:
    """Whether the file system under a path makes up its permissions."""
    kind, longest = "", -1
    with suppress(OSError):
        place = str(path.resolve())
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            before, _, after = line.partition(" - ")
            mount = before.split()[4].encode().decode("unicode_escape")
            below = place == mount or place.startswith(mount.rstrip("/") + "/")
            if below and len(mount) >= longest:
                kind, longest = after.split()[0], len(mount)
    return kind in _WITHOUT_PERMISSIONS


def _is_trusted(folder: Path) -> bool:
    folder = folder.resolve()
    named = [part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    if "*" in named:
        return True
    trusted = {Path(part).expanduser().resolve() for part in named} | _trusted(_list())
    return bool(trusted & {folder, *folder.parents})


def _trusted(file: Path) -> set[Path]:
    """The folders that the user's own list names; none where another user could have written the list."""
    try:
        found = file.stat()
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWOTH | stat.S_IWGRP):
            return set()
        return {Path(line) for line in file.read_text(encoding="utf-8").splitlines() if line}
    except (OSError, UnicodeDecodeError):
        return set()


def _list() -> Path:
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
