"""The database instance: finds, starts and stops it, and waits for a state."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..aws_client import client as aws_client
from ..errors import NotConfigured, NotFound, Refused
from .service import Service, pages

AVAILABLE, STOPPED, STOPPING = "available", "stopped", "stopping"
# "Viewing Amazon RDS DB instance status": what does not become available by itself.
STUCK = (
    "failed", "deleting", "restore-error", "insufficient-capacity", "storage-full", "storage-config-upgrade-failed",
    "inaccessible-encryption-credentials", "inaccessible-encryption-credentials-recoverable", "incompatible-create",
    "incompatible-network", "incompatible-option-group", "incompatible-parameters", "incompatible-restore",
)  # fmt: skip
_LONGEST_PAUSE_S = 10.0


class RDS(Service):
    """An opened RDS."""


@dataclass(frozen=True)
class Instance:
    """A database instance. ``restarts_at`` is when AWS starts a stopped one again by itself, where it says so."""

    instance: str
    status: str
    engine: str
    instance_class: str
    endpoint: str | None
    port: int | None
    publicly_accessible: bool
    security_groups: tuple[str, ...]
    restarts_at: datetime | None


def find(rds: RDS, *, name: str | None) -> Instance:
    """The instance with that name; without one, the only PostgreSQL instance of the region.

    Raises NotFound where there is none, NotConfigured where several could be meant; both list them.
    """
    if name:
        return _get(rds, name)
    found = instances(rds)
    usable = [one for one in found if "postgres" in one.engine]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise NotConfigured(
            f"There are {len(usable)} PostgreSQL instances in {rds.region}; choose one.",
            hint=f"--instance {usable[0].instance}",
            details=_list(usable),
            code="instance_ambiguous",
        )
    raise NotFound(
        f"There is no PostgreSQL instance in {rds.region} ({rds.at.label}).",
        hint="check the region with `cruddur config`",
        details=_list(found) or None,
        code="instance_not_found",
    )


def instances(rds: RDS) -> list[Instance]:
    """Every database instance of the region, with any engine."""
    found = pages(rds, "describe_db_instances", {"MaxRecords": 100}, "DBInstances", token="Marker")
    return [_instance(entry) for entry in found]


def start(rds: RDS, one: Instance) -> Instance:
    """Start a stopped instance; one that runs, or is about to, comes back as it is. Raises Refused."""
    return one if runs(one) else _switch(rds, "start_db_instance", one, done={AVAILABLE, "starting"})


def runs(one: Instance) -> bool:
    """Whether an instance takes connections or is about to; other states (`configuring-…`, `backing-up`) count."""
    return one.status not in {STOPPED, STOPPING, *STUCK}


def stop(rds: RDS, one: Instance) -> Instance:
    """Stop an instance; one that is stopped, or about to be, comes back as it is.

    Raises Refused, in AWS's words, for one that cannot be stopped: "Stopping an Amazon RDS DB instance temporarily"
    names read replicas, Multi-AZ SQL Server and Aurora.
    """
    if one.status in {STOPPED, STOPPING}:
        return one
    return _switch(rds, "stop_db_instance", one, done={STOPPED, STOPPING})


def wait(
    rds: RDS,
    one: Instance,
    *,
    goal: str,
    wait_s: float,
    ends: Collection[str] = STUCK,
    pause_s: float = 0.5,
    say: Callable[[str], None] = lambda _: None,
) -> Instance:
    """The instance once it has reached the state ``goal``, or one of ``ends``, or when ``wait_s`` seconds are over.

    ``say`` is told every state on the way. Asks after ``pause_s`` first, then less and less often.
    """
    deadline = time.monotonic() + wait_s
    told = ""
    while one.status != goal and one.status not in ends:
        if one.status != told:
            told = one.status
            say(f"{one.instance}: {told}")
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            break
        time.sleep(min(pause_s, left_s))
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)
        one = _get(rds, one.instance)
    return one


def _get(rds: RDS, name: str) -> Instance:
    try:
        answer = aws_client.call(rds.client, "describe_db_instances", {"DBInstanceIdentifier": name}, at=rds.at)
    except Refused as error:
        if not str(error.fields.get("aws_code", "")).startswith("DBInstanceNotFound"):
            raise
        answer = {}
    for entry in answer.get("DBInstances", []):
        return _instance(entry)
    there = instances(rds)
    raise NotFound(
        f"There is no database instance {name!r} in {rds.region} ({rds.at.label}).",
        hint=f"--instance {there[0].instance}" if there else "check the region with `cruddur config`",
        details=_list(there) or None,
        code="instance_not_found",
    )


def _switch(rds: RDS, operation: str, one: Instance, *, done: Collection[str]) -> Instance:
    try:
        answer = aws_client.call(rds.client, operation, {"DBInstanceIdentifier": one.instance}, at=rds.at)
    except Refused as error:
        # A request whose answer was lost is sent again, and then finds the instance on its way already.
        if not str(error.fields.get("aws_code", "")).startswith("InvalidDBInstanceState"):
            raise
        now = _get(rds, one.instance)
        if now.status not in done:
            told = error.adding(f"{one.instance} is {now.status}.")
            raise told.changed(hint="cruddur rds status --wait 600") from error
        return now
    return _instance(answer["DBInstance"])


def _instance(entry: dict[str, Any]) -> Instance:
    endpoint = entry.get("Endpoint") or {}
    return Instance(
        instance=entry["DBInstanceIdentifier"],
        status=entry.get("DBInstanceStatus", "unknown"),
        engine=f"{entry.get('Engine', '')} {entry.get('EngineVersion', '')}".strip(),
        instance_class=entry.get("DBInstanceClass", ""),
        endpoint=endpoint.get("Address"),
        port=endpoint.get("Port"),
        publicly_accessible=bool(entry.get("PubliclyAccessible")),
        security_groups=tuple(group["VpcSecurityGroupId"] for group in entry.get("VpcSecurityGroups", [])),
        restarts_at=entry.get("AutomaticRestartTime"),
    )


def _list(found: list[Instance]) -> str:
    return "\n".join(f"{one.instance}  {one.status}  {one.engine}" for one in found)
