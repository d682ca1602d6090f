"""Checks the database instance: who can reach or delete it, its encryption, its upgrades and its backups."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from ..model import Ask, CannotSee, Params, Scope, Seen, Verdict, day, failed, minute, passed
from .registry import check

RETENTION_DAYS = 7
CERTIFICATE_DAYS = 30
_EXPIRED = {"rds-ca-2010", "rds-ca-2015", "rds-ca-2019"}


def _named(seen: Seen) -> Iterable[Params]:
    name = seen.scope.db_instance
    return [{"DBInstanceIdentifier": name} if name else {}]


INSTANCES = Ask(
    "rds",
    "describe_db_instances",
    "rds:DescribeDBInstances",
    _named,
    pages=("DBInstances", "Marker", "Marker"),
    none=frozenset({"DBInstanceNotFound", "DBInstanceNotFoundFault"}),
)


def _resource(scope: Scope) -> str:
    return f"arn:{scope.partition}:rds:{scope.region}:{scope.account}:db:{scope.db_instance or '*'}"


def instance(seen: Seen) -> dict[str, Any]:
    """The instance named in the scope, else the only one that runs PostgreSQL. Raises CannotSee."""
    scope = seen.scope
    instances = [one for one in seen.listed(INSTANCES) if scope.db_instance or "postgres" in one.get("Engine", "")]
    if len(instances) == 1:
        return dict(instances[0])
    if not instances:
        what = f"database instance {scope.db_instance!r}" if scope.db_instance else "PostgreSQL instance"
        raise CannotSee(f"There is no {what} in {scope.region}.")
    names = ", ".join(sorted(one["DBInstanceIdentifier"] for one in instances))
    raise CannotSee(f"{len(instances)} PostgreSQL instances ({names}): choose one with --instance.")


def _modify(seen: Seen, one: dict[str, Any], change: str) -> str:
    return seen.scope.aws(
        f"rds modify-db-instance --db-instance-identifier {one['DBInstanceIdentifier']} {change} --apply-immediately"
    )


@check(
    "database-public-access",
    "The database has no public address",
    severity="critical",
    controls=("Security Hub RDS.2", "AWS Config rds-instance-public-access-check"),
    asks=(INSTANCES,),
    resource=_resource,
)
def public_access(seen: Seen) -> Verdict:
    """Control: "RDS DB Instances should prohibit public access, as determined by [PubliclyAccessible]"."""
    one = instance(seen)
    if not one.get("PubliclyAccessible"):
        return passed("not publicly accessible")
    return failed("publicly accessible", remedy=_modify(seen, one, "--no-publicly-accessible"))


@check(
    "database-encryption",
    "The database's storage is encrypted",
    severity="medium",
    controls=("Security Hub RDS.3", "AWS Config rds-storage-encrypted"),
    asks=(INSTANCES,),
    resource=_resource,
)
def encryption(seen: Seen) -> Verdict:
    """Control: "RDS DB instances should have encryption at-rest enabled".

    An existing instance cannot be encrypted, only one that is restored from an encrypted snapshot.
    """
    one = instance(seen)
    if one.get("StorageEncrypted"):
        return passed(f"encrypted with {one.get('KmsKeyId') or 'the default key'}")
    name = one["DBInstanceIdentifier"]
    command = (
        f"rds copy-db-snapshot --source-db-snapshot-identifier {name}-plain "
        f"--target-db-snapshot-identifier {name}-encrypted --kms-key-id alias/aws/rds"
    )
    return failed(
        "the storage is not encrypted; restore an encrypted copy of a snapshot", remedy=seen.scope.aws(command)
    )


@check(
    "database-deletion-protection",
    "The database cannot be deleted by one request",
    severity="low",
    controls=("Security Hub RDS.8", "AWS Config rds-instance-deletion-protection-enabled"),
    asks=(INSTANCES,),
    resource=_resource,
)
def deletion_protection(seen: Seen) -> Verdict:
    """Control: "RDS DB instances should have deletion protection enabled"."""
    one = instance(seen)
    if one.get("DeletionProtection"):
        return passed("deletion protection is on")
    return failed("deletion protection is off", remedy=_modify(seen, one, "--deletion-protection"))


@check(
    "database-backups",
    f"Automatic backups of the database are kept for at least {RETENTION_DAYS} days",
    severity="medium",
    controls=("Security Hub RDS.11", "AWS Config db-instance-backup-enabled"),
    asks=(INSTANCES,),
    resource=_resource,
)
def backups(seen: Seen) -> Verdict:
    """Control: "RDS instances should have automatic backups enabled"; its default is at least seven days."""
    one = instance(seen)
    days = int(one.get("BackupRetentionPeriod", 0))
    latest = one.get("LatestRestorableTime")
    evidence = f"kept for {days} days" + (f", restorable up to {minute(latest)}" if latest else "")
    if days >= RETENTION_DAYS:
        return passed(evidence)
    return failed(
        evidence if days else "no automatic backups",
        remedy=_modify(seen, one, f"--backup-retention-period {RETENTION_DAYS}"),
    )


@check(
    "database-minor-upgrades",
    "Minor versions of PostgreSQL are installed automatically",
    severity="high",
    controls=("Security Hub RDS.13", "AWS Config rds-automatic-minor-version-upgrade-enabled"),
    asks=(INSTANCES,),
    resource=_resource,
)
def minor_upgrades(seen: Seen) -> Verdict:
    """Control: "RDS automatic minor version upgrades should be enabled"."""
    one = instance(seen)
    version = f"{one.get('Engine', '')} {one.get('EngineVersion', '')}".strip()
    if one.get("AutoMinorVersionUpgrade"):
        return passed(f"on ({version})")
    return failed(f"off ({version})", remedy=_modify(seen, one, "--auto-minor-version-upgrade"))


@check(
    "database-certificate",
    f"The database's certificate is valid for at least {CERTIFICATE_DAYS} days",
    severity="medium",
    controls=("Amazon RDS User Guide, Rotating your SSL/TLS certificate",),
    asks=(INSTANCES,),
    resource=_resource,
)
def certificate(seen: Seen) -> Verdict:
    """A client that checks the certificate cannot connect once it has expired, as rds-ca-2019 did on 22 August 2024."""
    one = instance(seen)
    details = one.get("CertificateDetails") or {}
    authority = details.get("CAIdentifier") or one.get("CACertificateIdentifier") or "unknown"
    until = details.get("ValidTill")
    evidence = f"by {authority}" + (f", valid until {day(until)}" if until else "")
    is_short = until is not None and until - seen.scope.now < timedelta(days=CERTIFICATE_DAYS)
    if authority not in _EXPIRED and not is_short:
        return passed(evidence)
    return failed(evidence, remedy=_modify(seen, one, "--ca-certificate-identifier rds-ca-rsa2048-g1"))
