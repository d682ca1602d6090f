"""Create and list snapshots of the database instance."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..aws_client import client as aws_client
from ..aws_client import waiting
from ..errors import BadInput, Refused
from .instance import RDS, Instance
from .service import pages

AVAILABLE = "available"
# "CreateDBSnapshot": letters, digits and hyphens, a letter first, no two hyphens together and none at the end.
_NAME = re.compile(r"[a-zA-Z](?!.*--)[a-zA-Z0-9-]{0,254}(?<!-)")


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of a database instance; ``type`` is ``manual`` (kept until it is deleted) or ``automated``."""

    snapshot: str
    instance: str
    status: str
    type: str
    engine: str
    created_at: datetime | None
    size_gb: int | None
    encrypted: bool


def name_at(instance: str, moment: datetime) -> str:
    """The default name of a snapshot: the name of the instance, and the time in seconds."""
    return f"{instance[:230]}-{moment:%Y%m%dt%H%M%Sz}"


def check_name(name: str) -> None:
    """Raise BadInput if RDS does not accept the text as a snapshot's name."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} cannot be a snapshot's name.",
            hint="write a letter first, then letters, digits and single hyphens",
            code="snapshot_name",
        )


def create(
    rds: RDS, instance: Instance, name: str, *, say: Callable[[str], None], wait_s: float
) -> tuple[Snapshot, bool]:
    """Create a snapshot and wait until it is available; return it, and whether this call created it.

    If the instance has a snapshot with that name, that one is returned. Raises BadInput for a name that RDS does not
    accept, Refused if the snapshot fails or belongs to another instance, CannotConnect after ``wait_s`` seconds.
    """
    check_name(name)
    created = True
    try:
        params = {"DBInstanceIdentifier": instance.instance, "DBSnapshotIdentifier": name}
        aws_client.call(rds.client, "create_db_snapshot", params, at=rds.at)
    except Refused as error:
        if error.fields.get("aws_code") != "DBSnapshotAlreadyExists":
            raise
        created = False
    entry = waiting.until(
        lambda: _get(rds, name),
        done=lambda entry: entry.get("Status") not in {"creating", "pending"},
        state=lambda entry: f"snapshot {name}: {entry.get('Status')}, {entry.get('PercentProgress', 0)} %",
        say=say,
        wait_s=wait_s,
        hint="cruddur rds list-snapshots",
    )
    snapshot = _snapshot(entry)
    if snapshot.status != AVAILABLE:
        raise Refused(f"Snapshot {name} of {snapshot.instance} is {snapshot.status}.", code="snapshot_failed")
    if snapshot.instance != instance.instance:
        raise Refused(
            f"Snapshot {name} is of instance {snapshot.instance}, not of {instance.instance}.",
            hint="choose another name",
            code="snapshot_of_another_instance",
        )
    return snapshot, created


def listed(rds: RDS, instance: Instance) -> list[Snapshot]:
    """Every snapshot of an instance, newest first."""
    params = {"DBInstanceIdentifier": instance.instance}
    entries = pages(rds, "describe_db_snapshots", params, "DBSnapshots", token="Marker")
    # A snapshot that is being created has no time yet, and is the newest.
    snapshots = map(_snapshot, entries)
    return sorted(snapshots, key=lambda each: (each.created_at is None, str(each.created_at)), reverse=True)


def _get(rds: RDS, name: str) -> dict[str, Any]:
    answer = aws_client.call(rds.client, "describe_db_snapshots", {"DBSnapshotIdentifier": name}, at=rds.at)
    return dict(answer["DBSnapshots"][0])


def _snapshot(entry: dict[str, Any]) -> Snapshot:
    return Snapshot(
        snapshot=entry["DBSnapshotIdentifier"],
        instance=entry["DBInstanceIdentifier"],
        status=entry.get("Status", "unknown"),
        type=entry.get("SnapshotType", "manual"),
        engine=f"{entry.get('Engine', '')} {entry.get('EngineVersion', '')}".strip(),
        created_at=entry.get("SnapshotCreateTime"),
        size_gb=entry.get("AllocatedStorage"),
        encrypted=bool(entry.get("Encrypted")),
    )
