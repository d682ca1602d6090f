"""Checks the table: who could delete or read it, its backups, its encryption key and its capacity."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import timedelta

from .. import policies
from ..model import Ask, Params, Scope, Seen, Verdict, day, document, either, failed, minute, passed
from .registry import check

WINDOW_DAYS = 7
BACKUP_DAYS = 7
_DIMENSIONS = ("ReadCapacityUnits", "WriteCapacityUnits")


def _table(scope: Scope) -> str:
    return scope.table_arn


TABLE = Ask("dynamodb", "describe_table", "dynamodb:DescribeTable", lambda seen: [{"TableName": seen.scope.table}])
RECOVERY = Ask(
    "dynamodb",
    "describe_continuous_backups",
    "dynamodb:DescribeContinuousBackups",
    lambda seen: [{"TableName": seen.scope.table}],
)
BACKUPS = Ask(
    "dynamodb",
    "list_backups",
    "dynamodb:ListBackups",
    lambda seen: [{"TableName": seen.scope.table, "BackupType": "ALL"}],
    pages=("BackupSummaries", "LastEvaluatedBackupArn", "ExclusiveStartBackupArn"),
)
TAGS = Ask(
    "dynamodb",
    "list_tags_of_resource",
    "dynamodb:ListTagsOfResource",
    lambda seen: [{"ResourceArn": seen.scope.table_arn}],
    pages=("Tags", "NextToken", "NextToken"),
)
RESOURCE_POLICY = Ask(
    "dynamodb",
    "get_resource_policy",
    "dynamodb:GetResourcePolicy",
    lambda seen: [{"ResourceArn": seen.scope.table_arn}],
    none=frozenset({"PolicyNotFoundException"}),
)
TIME_TO_LIVE = Ask(
    "dynamodb",
    "describe_time_to_live",
    "dynamodb:DescribeTimeToLive",
    lambda seen: [{"TableName": seen.scope.table}],
)


def _targets(seen: Seen) -> Iterable[Params]:
    indexes = seen.one(TABLE)["Table"].get("GlobalSecondaryIndexes", [])
    table = f"table/{seen.scope.table}"
    names = [table, *(f"{table}/index/{index['IndexName']}" for index in indexes)]
    return [{"ServiceNamespace": "dynamodb", "ResourceIds": names}]


SCALING = Ask(
    "application-autoscaling",
    "describe_scalable_targets",
    "application-autoscaling:DescribeScalableTargets",
    _targets,
    needs=(TABLE,),
    pages=("ScalableTargets", "NextToken", "NextToken"),
)


def _key(seen: Seen) -> Iterable[Params]:
    arn = seen.one(TABLE)["Table"].get("SSEDescription", {}).get("KMSMasterKeyArn")
    return [{"KeyId": arn}] if arn else []


KEY = Ask("kms", "describe_key", "kms:DescribeKey", _key, needs=(TABLE,))


@check(
    "table-encryption",
    "The table is encrypted with a key in KMS",
    severity="medium",
    controls=("AWS Config dynamodb-table-encrypted-kms",),
    asks=(TABLE,),
    resource=_table,
)
def encryption(seen: Seen) -> Verdict:
    """AWS's own key, the default, encrypts too, but has no key policy that limits readers and no log of its use."""
    encrypted = seen.one(TABLE)["Table"].get("SSEDescription", {})
    if encrypted.get("Status") in {"ENABLED", "UPDATING"} and encrypted.get("SSEType") == "KMS":
        return passed(f"encrypted with {encrypted.get('KMSMasterKeyArn', 'a key in KMS')}")
    command = f"dynamodb update-table --table-name {seen.scope.table} --sse-specification Enabled=true,SSEType=KMS"
    return failed("encrypted with a key that AWS owns (the default)", remedy=seen.scope.aws(command))


@check(
    "table-key",
    "The table's key is enabled and is not about to be deleted",
    severity="critical",
    controls=("Security Hub KMS.3", "AWS Config kms-cmk-not-scheduled-for-deletion"),
    asks=(TABLE, KEY),
    resource=_table,
)
def key(seen: Seen) -> Verdict:
    """Without its key a table cannot be read, and DynamoDB archives it after seven days."""
    table = seen.one(TABLE)["Table"]
    kms_key = seen.one(KEY).get("KeyMetadata")
    if kms_key is None:
        return passed("AWS owns the key; this account can neither disable nor delete it")
    lost = table.get("SSEDescription", {}).get("InaccessibleEncryptionDateTime")
    if kms_key["KeyState"] == "Enabled" and not lost:
        return passed(f"{kms_key['Arn']} is enabled, managed by {kms_key.get('KeyManager', 'unknown').lower()}")
    when = f", on {day(kms_key['DeletionDate'])}" if kms_key.get("DeletionDate") else ""
    verb = "cancel-key-deletion" if kms_key["KeyState"] == "PendingDeletion" else "enable-key"
    evidence = f"{kms_key['Arn']} is {kms_key['KeyState']}{when}" + (f"; no access since {day(lost)}" if lost else "")
    return failed(evidence, remedy=seen.scope.aws(f"kms {verb} --key-id {kms_key['KeyId']}"))


@check(
    "table-deletion-protection",
    "The table cannot be deleted by one request",
    severity="medium",
    controls=("Security Hub DynamoDB.6", "AWS Config dynamodb-table-deletion-protection-enabled"),
    asks=(TABLE,),
    resource=_table,
)
def deletion_protection(seen: Seen) -> Verdict:
    """Control: "DynamoDB tables should have deletion protection enabled"."""
    if seen.one(TABLE)["Table"].get("DeletionProtectionEnabled"):
        return passed("deletion protection is on")
    return failed("deletion protection is off", remedy=seen.scope.cruddur("ddb protect"))


@check(
    "table-point-in-time-recovery",
    f"The table can be restored to any second of at least {WINDOW_DAYS} days",
    severity="medium",
    controls=("Security Hub DynamoDB.2", "AWS Config dynamodb-pitr-enabled"),
    asks=(RECOVERY,),
    resource=_table,
)
def point_in_time_recovery(seen: Seen) -> Verdict:
    """Control: "DynamoDB tables should have point-in-time recovery enabled"; the default is 35 days."""
    recovery = seen.one(RECOVERY)["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    command = (
        f"dynamodb update-continuous-backups --table-name {seen.scope.table} "
        "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true,RecoveryPeriodInDays=35"
    )
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        return failed("point-in-time recovery is off", remedy=seen.scope.cruddur("ddb protect"))
    days = int(recovery.get("RecoveryPeriodInDays", 35))
    since, until = recovery.get("EarliestRestorableDateTime"), recovery.get("LatestRestorableDateTime")
    window = f", today from {minute(since)} to {minute(until)}" if since and until else ""
    evidence = f"point-in-time recovery is on for {days} days{window}"
    return passed(evidence) if days >= WINDOW_DAYS else failed(evidence, remedy=seen.scope.aws(command))


@check(
    "table-backup",
    f"The last backup is not older than {BACKUP_DAYS} days",
    severity="medium",
    controls=("AWS Config dynamodb-last-backup-recovery-point-created",),
    asks=(BACKUPS,),
    resource=_table,
)
def backup(seen: Seen) -> Verdict:
    """On-demand backups and those of AWS Backup count. They remain after the table is deleted."""
    scope = seen.scope
    available = [entry for entry in seen.listed(BACKUPS) if entry.get("BackupStatus") == "AVAILABLE"]
    remedy = scope.cruddur("ddb backup")
    if not available:
        return failed("there is no backup", remedy=remedy)
    newest = max(available, key=lambda entry: entry["BackupCreationDateTime"])
    moment = newest["BackupCreationDateTime"]
    evidence = (
        f"{len(available)} backup{'s' * (len(available) > 1)}, the last on {day(moment)} ({newest['BackupName']})"
    )
    return passed(evidence) if scope.now - moment <= timedelta(days=BACKUP_DAYS) else failed(evidence, remedy=remedy)


@check(
    "table-tags",
    "The table has a tag that names its owner",
    severity="low",
    controls=("Security Hub DynamoDB.5",),
    asks=(TAGS,),
    resource=_table,
)
def tags(seen: Seen) -> Verdict:
    """Control: "DynamoDB tables should be tagged"; tags of AWS itself do not count."""
    keys = [tag["Key"] for tag in seen.listed(TAGS) if not tag["Key"].startswith("aws:")]
    if keys:
        return passed(f"tags: {either(keys)}")
    command = f"dynamodb tag-resource --resource-arn {seen.scope.table_arn} --tags Key=Project,Value=cruddur"
    return failed("no tag", remedy=seen.scope.aws(command))


@check(
    "table-scaling",
    "The table's capacity follows demand",
    severity="medium",
    controls=("Security Hub DynamoDB.1", "AWS Config dynamodb-autoscaling-enabled"),
    asks=(TABLE, SCALING),
    resource=_table,
)
def scaling(seen: Seen) -> Verdict:
    """Control: "DynamoDB tables should automatically scale capacity with demand"."""
    table = seen.one(TABLE)["Table"]
    if table.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST":
        return passed("on-demand")
    have = {(target["ResourceId"], target["ScalableDimension"]) for target in seen.listed(SCALING)}
    wanted = [("", "table"), *((f"/index/{i['IndexName']}", "index") for i in table.get("GlobalSecondaryIndexes", []))]
    missing = [
        f"{dimension} of {suffix.rpartition('/')[2] or 'the table'}"
        for suffix, kind in wanted
        for dimension in _DIMENSIONS
        if (f"table/{seen.scope.table}{suffix}", f"dynamodb:{kind}:{dimension}") not in have
    ]
    if not missing:
        return passed("provisioned; table and indexes scale automatically")
    command = f"dynamodb update-table --table-name {seen.scope.table} --billing-mode PAY_PER_REQUEST"
    return failed(f"provisioned without scaling: {either(missing)}", remedy=seen.scope.aws(command))


@check(
    "table-resource-policy",
    "The table's resource policy allows no other account",
    severity="critical",
    controls=("DynamoDB Developer Guide, Blocking public access with resource-based policies in DynamoDB",),
    asks=(RESOURCE_POLICY,),
    resource=_table,
)
def resource_policy(seen: Seen) -> Verdict:
    """A resource-based policy may grant access that no policy of this account's users contains."""
    text = seen.one(RESOURCE_POLICY).get("Policy")
    if not text:
        return passed("no resource policy")
    principals = policies.outsiders(document(text), seen.scope.account)
    if not principals:
        return passed("the resource policy allows no other account")
    command = f"dynamodb put-resource-policy --resource-arn {seen.scope.table_arn} --policy file://table-policy.json"
    return failed(f"the resource policy allows: {either(principals)}", remedy=seen.scope.aws(command))


@check(
    "table-time-to-live",
    "No row of the table expires automatically",
    severity="medium",
    controls=("DynamoDB Developer Guide, Using time to live (TTL) in DynamoDB",),
    asks=(TIME_TO_LIVE,),
    resource=_table,
)
def time_to_live(seen: Seen) -> Verdict:
    """Messages and group rows must not expire: with time to live, DynamoDB deletes rows without a request."""
    setting = seen.one(TIME_TO_LIVE)["TimeToLiveDescription"]
    if setting.get("TimeToLiveStatus") not in {"ENABLED", "ENABLING"}:
        return passed("time to live is off")
    attribute = setting.get("AttributeName", "")
    off = shlex.quote(f"Enabled=false,AttributeName={attribute}")  # the name may be any text
    command = f"dynamodb update-time-to-live --table-name {seen.scope.table} --time-to-live-specification {off}"
    return failed(f"rows with a past time in {attribute!r} are deleted", remedy=seen.scope.aws(command))
