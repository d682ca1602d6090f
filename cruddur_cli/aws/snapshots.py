"""Snapshots of the database instance: creates one and waits for it, and lists them."""

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
    """The name of a snapshot that a person did not name: the instance and the second."""
    return f"{instance[:230]}-{moment:%Y%m%dt%H%M%Sz}"


def check_name(name: str) -> None:
    """Raise BadInput where RDS would not take it as a snapshot's name."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} cannot be a snapshot's name.",
            hint="write a letter first, then letters, digits and single hyphens",
            code="snapshot_name",
        )


def create(rds: RDS, one: Instance, name: str, *, say: Callable[[str], None], wait_s: float) -> tuple[Snapshot, bool]:
    """The snapshot with that name once it is available, and whether it was made now. Raises BadInput, Refused."""
    check_name(name)
    made = True
    try:
        params = {"DBInstanceIdentifier": one.instance, "DBSnapshotIdentifier": name}
        aws_client.call(rds.client, "create_db_snapshot", params, at=rds.at)
    except Refused as error:
        if error.fields.get("aws_code") != "DBSnapshotAlreadyExists":
            raise
        made = False
    found = waiting.until(
        lambda: _get(rds, name),
        done=lambda entry: entry.get("Status") not in {"creating", "pending"},
        state=lambda entry: f"snapshot {name}: {entry.get('Status')}, {entry.get('PercentProgress', 0)} %",
        say=say,
        wait_s=wait_s,
        hint="cruddur rds list-snapshots",
    )
    snapshot = _snapshot(found)
    if snapshot.status != AVAILABLE:
        raise Refused(f"Snapshot {name} of {snapshot.instance} is {snapshot.status}.", code="snapshot_failed")
    if snapshot.instance != one.instance:
        raise Refused(
            f"Snapshot {name} is of instance {snapshot.instance}, not of {one.instance}.",
            hint="choose another name",
            code="snapshot_of_another_instance",
        )
    return snapshot, made


def listed(rds: RDS, one: Instance) -> list[Snapshot]:
    """Every snapshot of an instance, the newest first."""
    params = {"DBInstanceIdentifier": one.instance}
    found = [_snapshot(entry) for entry in pages(rds, "describe_db_snapshots", params, "DBSnapshots", token="Marker")]
    # One that is being made has no time yet: it is the newest.
    return sorted(found, key=lambda each: (each.created_at is None, str(each.created_at)), reverse=True)


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
