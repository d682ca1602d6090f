"""Checks that changes of the account and of the table's rows are recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ..model import Ask, CannotSee, Params, Seen, Verdict, either, failed, passed
from ..policies import matches
from .registry import account, check

# The managed rules of AWS Config that repeat the checks of the table continuously.
WANTED_RULES = {
    "DYNAMODB_PITR_ENABLED": "dynamodb-pitr-enabled",
    "DYNAMODB_TABLE_DELETION_PROTECTION_ENABLED": "dynamodb-table-deletion-protection-enabled",
    "DYNAMODB_TABLE_ENCRYPTED_KMS": "dynamodb-table-encrypted-kms",
}
_TABLES = "AWS::DynamoDB::Table"

TRAILS = Ask("cloudtrail", "describe_trails", "cloudtrail:DescribeTrails", lambda _: [{}])


def _trails(seen: Seen) -> list[dict[str, Any]]:
    return list(seen.one(TRAILS).get("trailList", []))


def _each(parameter: str) -> Any:
    def params(seen: Seen) -> Iterable[Params]:
        return [{parameter: trail["TrailARN"]} for trail in _trails(seen)]

    return params


STATUS = Ask("cloudtrail", "get_trail_status", "cloudtrail:GetTrailStatus", _each("Name"), needs=(TRAILS,))
SELECTORS = Ask(
    "cloudtrail", "get_event_selectors", "cloudtrail:GetEventSelectors", _each("TrailName"), needs=(TRAILS,)
)
RECORDERS = Ask(
    "config",
    "describe_configuration_recorders",
    "config:DescribeConfigurationRecorders",
    lambda _: [{}],
)
RECORDING = Ask(
    "config",
    "describe_configuration_recorder_status",
    "config:DescribeConfigurationRecorderStatus",
    lambda _: [{}],
)
RULES = Ask(
    "config",
    "describe_config_rules",
    "config:DescribeConfigRules",
    lambda _: [{}],
    pages=("ConfigRules", "NextToken", "NextToken"),
)


def _logging(seen: Seen) -> list[dict[str, Any]]:
    """The trails that are logging."""
    return [trail for trail, status in zip(_trails(seen), seen.all(STATUS), strict=True) if status.get("IsLogging")]


def _recorded(seen: Seen) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each trail that is logging, with its event selectors. Raises CannotSee if none is."""
    all_three = zip(_trails(seen), seen.all(STATUS), seen.all(SELECTORS), strict=True)
    logging_trails = [(trail, selectors) for trail, status, selectors in all_three if status.get("IsLogging")]
    if not logging_trails:
        raise CannotSee("No trail is logging.")
    return logging_trails


@check(
    "trail-logging",
    "A trail records what is done to the account",
    severity="high",
    controls=("Security Hub CloudTrail.3", "AWS Config cloudtrail-enabled"),
    asks=(TRAILS, STATUS),
    resource=account,
)
def logging(seen: Seen) -> Verdict:
    """Control: "At least one CloudTrail trail should be enabled"."""
    names, active = [trail["Name"] for trail in _trails(seen)], [trail["Name"] for trail in _logging(seen)]
    if active:
        return passed(f"{either(active)} is logging")
    if names:
        return failed(
            f"{either(names)} is not logging", remedy=seen.scope.aws(f"cloudtrail start-logging --name {names[0]}")
        )
    command = "cloudtrail create-trail --name cruddur --s3-bucket-name BUCKET --is-multi-region-trail"
    return failed("there is no trail", remedy=seen.scope.aws(command))


def _manages(selectors: dict[str, Any]) -> bool:
    """Whether the selectors record reads and writes of the account itself ("management events")."""
    simple = any(
        one.get("IncludeManagementEvents", True) and one.get("ReadWriteType", "All") == "All"
        for one in selectors.get("EventSelectors") or []
    )
    advanced = [_fields(one) for one in selectors.get("AdvancedEventSelectors") or []]
    return simple or any(
        "Management" in fields.get("eventCategory", {}).get("Equals", []) and "readOnly" not in fields
        for fields in advanced
    )


@check(
    "trail-multi-region",
    "A trail records reads and writes of the account in every region",
    severity="high",
    controls=("Security Hub CloudTrail.1", "AWS Config multi-region-cloudtrail-enabled"),
    asks=(TRAILS, STATUS, SELECTORS),
    resource=account,
)
def multi_region(seen: Seen) -> Verdict:
    """Control CloudTrail.1.

    "CloudTrail should be enabled and configured with at least one multi-Region trail that includes read and write
    management events".
    """
    matching = [
        trail["Name"] for trail, selectors in _recorded(seen) if trail.get("IsMultiRegionTrail") and _manages(selectors)
    ]
    if matching:
        return passed(either(matching))
    names = [trail["Name"] for trail, _ in _recorded(seen)]
    command = f"cloudtrail update-trail --name {names[0]} --is-multi-region-trail"
    return failed(
        f"{either(names)}: does not cover every region, or not both reads and writes of the account",
        remedy=seen.scope.aws(command),
    )


def _fields(selector: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    return {one["Field"]: one for one in selector.get("FieldSelectors") or []}


def _records_rows(selectors: dict[str, Any], arn: str) -> bool:
    """Whether the selectors record writes to the table's rows ("data events")."""
    for one in selectors.get("EventSelectors") or []:
        for resource in one.get("DataResources") or []:
            # "DataResource": a value is a table's ARN, or arn:aws:dynamodb for every table.
            values = resource.get("Values") or []
            is_about = any(arn == value or arn.startswith(f"{value.rstrip(':/')}:") for value in values)
            if is_about and resource.get("Type") == _TABLES and one.get("ReadWriteType", "All") != "ReadOnly":
                return True
    for one in selectors.get("AdvancedEventSelectors") or []:
        fields = _fields(one)
        is_data = "Data" in fields.get("eventCategory", {}).get("Equals", [])
        of_tables = _TABLES in fields.get("resources.type", {}).get("Equals", [])
        writes = fields.get("readOnly", {}).get("Equals", ["false"]) != ["true"]
        if is_data and of_tables and writes and _selected(fields.get("resources.ARN", {}), arn):
            return True
    return False


def _selected(condition: dict[str, list[str]], arn: str) -> bool:
    """Whether an ARN meets an advanced selector's condition: any test without ``Not``, and no test with it."""
    tests = {
        "Equals": lambda value: arn == value,
        "StartsWith": arn.startswith,
        "EndsWith": arn.endswith,
    }
    wanted = [tests[name](value) for name in tests for value in condition.get(name) or []]
    unwanted = [tests[name](value) for name in tests for value in condition.get(f"Not{name}") or []]
    return (any(wanted) or not wanted) and not any(unwanted)


@check(
    "trail-data-events",
    "A trail records who writes the table's rows",
    severity="medium",
    controls=("DynamoDB Developer Guide, Logging DynamoDB operations by using AWS CloudTrail",),
    asks=(TRAILS, STATUS, SELECTORS),
    resource=lambda scope: scope.table_arn,
)
def data_events(seen: Seen) -> Verdict:
    """Requests for rows are "data events". No trail records them by default, and each event costs money."""
    arn = seen.scope.table_arn
    matching = [trail["Name"] for trail, selectors in _recorded(seen) if _records_rows(selectors, arn)]
    if matching:
        return passed(either(matching))
    names = [trail["Name"] for trail, _ in _recorded(seen)]
    selector = [
        {
            "Name": "rows",
            "FieldSelectors": [
                {"Field": "eventCategory", "Equals": ["Data"]},
                {"Field": "resources.type", "Equals": [_TABLES]},
                {"Field": "resources.ARN", "StartsWith": [arn]},
            ],
        },
        {"Name": "account", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]},
    ]
    command = (
        f"cloudtrail put-event-selectors --trail-name {names[0]} --advanced-event-selectors '{json.dumps(selector)}'"
    )
    return failed(f"{either(names)}: no data events of the table", remedy=seen.scope.aws(command))


@check(
    "config-recorder",
    "AWS Config records how the table is configured",
    severity="critical",
    controls=("Security Hub Config.1",),
    asks=(RECORDERS, RECORDING),
    resource=account,
)
def recorder(seen: Seen) -> Verdict:
    """Control: "AWS Config should be enabled and use the service-linked role for resource recording"."""
    recorders = seen.one(RECORDERS).get("ConfigurationRecorders", [])
    states = {one["name"]: one for one in seen.one(RECORDING).get("ConfigurationRecordersStatus", [])}
    if not recorders:
        command = "configservice put-configuration-recorder --configuration-recorder name=default,roleARN=ROLE"
        return failed("there is no recorder", remedy=seen.scope.aws(command))
    for one in recorders:
        group = one.get("recordingGroup", {})
        covers = group.get("allSupported") or _TABLES in (group.get("resourceTypes") or [])
        if states.get(one["name"], {}).get("recording") and covers:
            return passed(f"{one['name']} is recording")
    name = recorders[0]["name"]
    is_on = states.get(name, {}).get("recording")
    if not is_on:
        command = f"configservice start-configuration-recorder --configuration-recorder-name {name}"
        return failed(f"{name} is stopped", remedy=seen.scope.aws(command))
    command = (
        f"configservice put-configuration-recorder --configuration-recorder name={name},"
        f"roleARN={recorders[0].get('roleARN', 'ROLE')} --recording-group allSupported=true"
    )
    return failed(f"{name} records no DynamoDB tables", remedy=seen.scope.aws(command))


@check(
    "config-rules",
    "AWS Config watches the table's recovery, deletion protection and encryption",
    severity="low",
    controls=tuple(f"AWS Config {name}" for name in WANTED_RULES.values()),
    asks=(RULES,),
    resource=account,
)
def rules(seen: Seen) -> Verdict:
    """Passes if the managed rules for DynamoDB are on: they report a setting that is changed later."""
    active = {
        one.get("Source", {}).get("SourceIdentifier", "")
        for one in seen.listed(RULES)
        if one.get("ConfigRuleState", "ACTIVE") == "ACTIVE"
    }
    for_dynamodb = sorted(name for name in active if matches("DYNAMODB_*", name))
    missing = [identifier for identifier in WANTED_RULES if identifier not in active]
    if not missing:
        return passed(f"on: {either(for_dynamodb)}")
    rule = {
        "ConfigRuleName": WANTED_RULES[missing[0]],
        "Source": {"Owner": "AWS", "SourceIdentifier": missing[0]},
    }
    command = f"configservice put-config-rule --config-rule '{json.dumps(rule)}'"
    return failed(f"on: {either(for_dynamodb)}; missing: {either(missing)}", remedy=seen.scope.aws(command))
