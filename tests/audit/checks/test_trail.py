"""The checks of the trail and of AWS Config: each fails alone, with a command that fixes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cruddur_cli.audit.checks import trail
from cruddur_cli.audit.model import UNSEEN
from tests.audit.account import ARN, Account, client, record, select
from tests.audit.alone import Breaks, each_change, found_alone
from tests.audit.answers import finding, passes


def _stopped_trail(_: Account) -> None:
    client("cloudtrail").stop_logging(Name="all")


def _one_region(_: Account) -> None:
    client("cloudtrail").update_trail(Name="all", IsMultiRegionTrail=False)


def _stopped_recorder(_: Account) -> None:
    client("config").stop_configuration_recorder(ConfigurationRecorderName="default")


def _rule_gone(_: Account) -> None:
    client("config").delete_config_rule(ConfigRuleName="dynamodb_pitr_enabled")


BREAKS: Breaks = {
    "trail-logging": [_stopped_trail],
    "trail-multi-region": [_one_region, lambda _: select(with_rows=True, management=False)],
    "trail-data-events": [lambda _: select(with_rows=False, management=True)],
    "config-recorder": [_stopped_recorder, lambda _: record(all_supported=False)],
    "config-rules": [_rule_gone],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_fails_alone_with_a_command_that_fixes_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)


# What is decided from answers that no test makes moto give.


def _trails(*trails: tuple[bool, bool, dict[str, Any]]) -> dict[Any, Any]:
    """Trails ``t0``, ``t1``: whether each is logging, whether it covers every region, and what it selects."""
    return {
        trail.TRAILS: {
            "trailList": [
                {"Name": f"t{number}", "TrailARN": f"arn:t{number}", "IsMultiRegionTrail": everywhere}
                for number, (_, everywhere, _) in enumerate(trails)
            ]
        },
        trail.STATUS: [{"IsLogging": logging} for logging, _, _ in trails],
        trail.SELECTORS: [selectors for _, _, selectors in trails],
    }


def _simple(**selector: Any) -> dict[str, Any]:
    return {"EventSelectors": [selector]}


def _advanced(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"AdvancedEventSelectors": [{"FieldSelectors": list(fields)}]}


CATEGORY = {"Field": "eventCategory", "Equals": ["Data"]}
KIND = {"Field": "resources.type", "Equals": ["AWS::DynamoDB::Table"]}


def test_one_trail_that_is_logging_is_enough() -> None:
    found = finding("trail-logging", _trails((False, True, {}), (True, True, {})))
    assert found.evidence == "t1 is logging"
    assert passes("trail-logging", _trails((False, True, {}), (True, True, {})))
    stopped = finding("trail-logging", _trails((False, True, {})))
    assert (stopped.evidence, stopped.remedy) == (
        "t0 is not logging",
        "aws cloudtrail start-logging --name t0 --region eu-central-1",
    )
    none = finding("trail-logging", {trail.TRAILS: {}, trail.STATUS: []})
    assert none.evidence == "there is no trail"
    assert str(none.remedy).startswith("aws cloudtrail create-trail ")


@pytest.mark.parametrize(
    ("selectors", "is_whole"),
    [
        (_simple(), True),
        (_simple(IncludeManagementEvents=True, ReadWriteType="All"), True),
        (_simple(IncludeManagementEvents=False, ReadWriteType="All"), False),
        (_simple(IncludeManagementEvents=True, ReadWriteType="WriteOnly"), False),
        ({"EventSelectors": [{"ReadWriteType": "ReadOnly"}, {"ReadWriteType": "All"}]}, True),
        (_advanced({"Field": "eventCategory", "Equals": ["Management"]}), True),
        (
            _advanced({"Field": "eventCategory", "Equals": ["Management"]}, {"Field": "readOnly", "Equals": ["true"]}),
            False,
        ),
        (_advanced(CATEGORY), False),
        (
            {
                "AdvancedEventSelectors": [
                    {},
                    {"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]},
                ]
            },
            True,
        ),
        ({}, False),
    ],
)
def test_a_trail_records_both_reads_and_writes_of_the_account(selectors: dict[str, Any], is_whole: bool) -> None:
    assert passes("trail-multi-region", _trails((True, True, selectors))) is is_whole
    assert not passes("trail-multi-region", _trails((True, False, selectors)))
    stopped = _trails((False, True, selectors))
    assert finding("trail-multi-region", stopped).result == UNSEEN


@pytest.mark.parametrize(
    ("selectors", "is_recorded"),
    [
        (_simple(DataResources=[{"Type": "AWS::DynamoDB::Table", "Values": [ARN]}]), True),
        (_simple(DataResources=[{"Type": "AWS::DynamoDB::Table", "Values": ["arn:x", "arn:aws:dynamodb"]}]), True),
        (_simple(DataResources=[{"Type": "AWS::DynamoDB::Table", "Values": ["arn:aws:dynamodb:"]}]), True),
        (_simple(DataResources=[{"Type": "AWS::DynamoDB::Table", "Values": [ARN[:-1]]}]), False),
        (_simple(DataResources=[{"Type": "AWS::DynamoDB::Table", "Values": [f"{ARN}-2"]}]), False),
        (_simple(DataResources=[{"Type": "AWS::S3::Object", "Values": [ARN]}]), False),
        (_simple(DataResources=[{"Type": "AWS::DynamoDB::Table"}]), False),
        (_simple(DataResources=[{"Type": "AWS::DynamoDB::Table", "Values": [ARN]}], ReadWriteType="WriteOnly"), True),
        (_simple(DataResources=[{"Type": "AWS::DynamoDB::Table", "Values": [ARN]}], ReadWriteType="ReadOnly"), False),
        (_simple(), False),
        (_advanced(CATEGORY, KIND), True),
        (_advanced(CATEGORY), False),
        (_advanced(KIND), False),
        (_advanced(CATEGORY, KIND, {"Field": "readOnly", "Equals": ["false"]}), True),
        (_advanced(CATEGORY, KIND, {"Field": "readOnly", "Equals": ["true"]}), False),
        (_advanced(CATEGORY, KIND, {"Field": "resources.ARN", "Equals": ["arn:other", ARN]}), True),
        (_advanced(CATEGORY, KIND, {"Field": "resources.ARN", "Equals": ["arn:other"]}), False),
        (_advanced(CATEGORY, KIND, {"Field": "resources.ARN", "StartsWith": [ARN[:-3]]}), True),
        (_advanced(CATEGORY, KIND, {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3"]}), False),
        (_advanced(CATEGORY, KIND, {"Field": "resources.ARN", "EndsWith": ["arn:other", "cruddur-messages"]}), True),
        (_advanced(CATEGORY, KIND, {"Field": "resources.ARN", "NotEquals": ["arn:other"]}), True),
        (_advanced(CATEGORY, KIND, {"Field": "resources.ARN", "NotEquals": ["arn:other", ARN]}), False),
        (_advanced(CATEGORY, KIND, {"Field": "resources.ARN", "NotStartsWith": [ARN[:-3]], "Equals": [ARN]}), False),
        (_advanced(CATEGORY, KIND, {"Field": "resources.ARN", "Equals": ["arn:other"], "NotEquals": ["arn:x"]}), False),
    ],
)
def test_which_selectors_record_writes_of_the_table_s_rows(selectors: dict[str, Any], is_recorded: bool) -> None:
    assert passes("trail-data-events", _trails((True, True, {}), (True, False, selectors))) is is_recorded


def test_a_trail_without_data_events_is_given_a_selector_for_the_table() -> None:
    found = finding("trail-data-events", _trails((True, True, {}), (True, True, {})))
    assert found.evidence == "t0, t1: no data events of the table"
    assert found.remedy is not None
    assert found.remedy.startswith("aws cloudtrail put-event-selectors --trail-name t0 --advanced-event-selectors")
    assert f'"StartsWith": ["{ARN}"]' in found.remedy


def _recorder(name: str, *, on: bool | None, **group: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    state = None if on is None else {"name": name, "recording": on}
    return {"name": name, "recordingGroup": group}, state


@pytest.mark.parametrize(
    ("recorders", "evidence", "command"),
    [
        ([], "there is no recorder", "put-configuration-recorder --configuration-recorder name=default,"),
        ([_recorder("a", on=True, allSupported=True)], "a is recording", None),
        ([_recorder("a", on=True, resourceTypes=["AWS::S3::Bucket", "AWS::DynamoDB::Table"])], "a is recording", None),
        (
            [_recorder("a", on=False, allSupported=True), _recorder("b", on=True, allSupported=True)],
            "b is recording",
            None,
        ),
        ([_recorder("a", on=False, allSupported=True)], "a is stopped", "start-configuration-recorder"),
        ([_recorder("a", on=None, allSupported=True)], "a is stopped", "start-configuration-recorder"),
        (
            [_recorder("a", on=True, allSupported=False)],
            "a records no DynamoDB tables",
            "put-configuration-recorder --configuration-recorder name=a,roleARN=ROLE --recording-group allSupported",
        ),
    ],
)
def test_a_recorder_is_on_and_covers_tables(recorders: list[Any], evidence: str, command: str | None) -> None:
    answers = {
        trail.RECORDERS: {"ConfigurationRecorders": [one for one, _ in recorders]},
        trail.RECORDING: {"ConfigurationRecordersStatus": [state for _, state in recorders if state]},
    }
    found = finding("config-recorder", answers)
    assert found.evidence == evidence
    assert (found.remedy is None) is (command is None)
    assert f"aws configservice {command}" in f"{found.remedy or 'aws configservice None'}"


def test_a_rule_that_is_being_deleted_does_not_watch() -> None:
    def rule(identifier: str, **state: str) -> dict[str, Any]:
        return {"Source": {"SourceIdentifier": identifier}, **state}

    wanted = [rule(name, ConfigRuleState="ACTIVE") for name in trail.WANTED_RULES]
    assert passes("config-rules", {trail.RULES: {"ConfigRules": [rule("OTHER"), *wanted]}})
    first, *rest = trail.WANTED_RULES
    deleted = [rule(first, ConfigRuleState="DELETING"), *(rule(name) for name in rest), rule("S3_BUCKET"), {}]
    found = finding("config-rules", {trail.RULES: {"ConfigRules": deleted}})
    assert found.evidence == f"on: {', '.join(sorted(rest))}; missing: {first}"
    assert f'"ConfigRuleName": "{trail.WANTED_RULES[first]}"' in str(found.remedy)


@pytest.mark.parametrize("check", ["trail-logging", "trail-data-events"])
def test_no_trail_is_judged_by_the_answers_of_another(check: str) -> None:
    answers = _trails((True, True, {}), (True, True, {}))
    answers[trail.STATUS] = [{"IsLogging": True}]
    with pytest.raises(ValueError, match="shorter"):
        finding(check, answers)
