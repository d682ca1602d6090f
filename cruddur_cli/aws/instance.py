"""Find, start and stop the database instance, and wait for one of its states."""

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
# "Viewing Amazon RDS DB instance status": an instance in one of these states does not become available by itself.
STUCK = (
    "failed", "deleting", "restore-error", "insufficient-capacity", "storage-full", "storage-config-upgrade-failed",
    "inaccessible-encryption-credentials", "inaccessible-encryption-credentials-recoverable", "incompatible-create",
    "incompatible-network", "incompatible-option-group", "incompatible-parameters", "incompatible-restore",
)  # fmt: skip
_LONGEST_PAUSE_S = 10.0


class RDS(Service):
    """The opened RDS service."""


@dataclass(frozen=True)
class Instance:
    """A database instance. ``restarts_at`` is when AWS starts a stopped instance again by itself, or None."""

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
    """The instance with the name ``name``; without a name, the only PostgreSQL instance of the region.

    Raises NotFound if there is none, and NotConfigured if there are several without a name. Both list the instances.
    """
    if name:
        return _get(rds, name)
    existing = instances(rds)
    usable = [each for each in existing if "postgres" in each.engine]
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
        details=_list(existing) or None,
        code="instance_not_found",
    )


def instances(rds: RDS) -> list[Instance]:
    """Every database instance of the region, with any engine."""
    entries = pages(rds, "describe_db_instances", {"MaxRecords": 100}, "DBInstances", token="Marker")
    return [_instance(entry) for entry in entries]


def start(rds: RDS, instance: Instance) -> Instance:
    """Start a stopped instance, and return it with its new state. An instance that runs or starts is not changed.

    Raises Refused.
    """
    return instance if runs(instance) else _switch(rds, "start_db_instance", instance, done={AVAILABLE, "starting"})


def runs(instance: Instance) -> bool:
    """Whether an instance accepts connections or will soon, which includes states such as `configuring-…`."""
    return instance.status not in {STOPPED, STOPPING, *STUCK}


def stop(rds: RDS, instance: Instance) -> Instance:
    """Stop an instance, and return it with its new state. An instance that is stopped or stops is not changed.

    Raises Refused, with AWS's reason, if an instance cannot be stopped: "Stopping an Amazon RDS DB instance
    temporarily" names read replicas, Multi-AZ SQL Server and Aurora.
    """
    if instance.status in {STOPPED, STOPPING}:
        return instance
    return _switch(rds, "stop_db_instance", instance, done={STOPPED, STOPPING})


def wait(
    rds: RDS,
    instance: Instance,
    *,
    goal: str,
    wait_s: float,
    ends: Collection[str] = STUCK,
    pause_s: float = 0.5,
    say: Callable[[str], None] = lambda _: None,
) -> Instance:
    """The instance when it has the state ``goal`` or one of ``ends``, or after ``wait_s`` seconds.

    ``say`` is called with each new state. The first pause is ``pause_s`` seconds; later ones are longer.
    """
    deadline = time.monotonic() + wait_s
    reported = ""
    while instance.status != goal and instance.status not in ends:
        if instance.status != reported:
            reported = instance.status
            say(f"{instance.instance}: {reported}")
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            break
        time.sleep(min(pause_s, left_s))
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)
        instance = _get(rds, instance.instance)
    return instance


def _get(rds: RDS, name: str) -> Instance:
    try:
        answer = aws_client.call(rds.client, "describe_db_instances", {"DBInstanceIdentifier": name}, at=rds.at)
    except Refused as error:
        if not str(error.fields.get("aws_code", "")).startswith("DBInstanceNotFound"):
            raise
        answer = {}
    for entry in answer.get("DBInstances", []):
        return _instance(entry)
    existing = instances(rds)
    raise NotFound(
        f"There is no database instance {name!r} in {rds.region} ({rds.at.label}).",
        hint=f"--instance {existing[0].instance}" if existing else "check the region with `cruddur config`",
        details=_list(existing) or None,
        code="instance_not_found",
    )


def _switch(rds: RDS, operation: str, instance: Instance, *, done: Collection[str]) -> Instance:
    try:
        answer = aws_client.call(rds.client, operation, {"DBInstanceIdentifier": instance.instance}, at=rds.at)
    except Refused as error:
        # A request whose answer was lost is sent again. It fails if the first one has changed the state already.
        if not str(error.fields.get("aws_code", "")).startswith("InvalidDBInstanceState"):
            raise
        current = _get(rds, instance.instance)
        if current.status not in done:
            refused = error.adding(f"{instance.instance} is {current.status}.")
            raise refused.changed(hint="cruddur rds status --wait 600") from error
        return current
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


def _list(existing: list[Instance]) -> str:
    return "\n".join(f"{each.instance}  {each.status}  {each.engine}" for each in existing)
