"""Decisions that the simulated account does not lead to: made from answers as AWS documents them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cruddur_cli.audit.checks import (
    CHECKS,
    alarms,
    database,
    network,
    organisation,
    security_group,
    table,
    trail,
    user_pool,
)
from cruddur_cli.audit.model import Ask, Finding, Scope, Seen, evaluate
from tests.audit.findings import SCOPE

BY_NAME = {check.name: check for check in CHECKS}
ARN = SCOPE.table_arn
POSTGRES = {"DBInstanceIdentifier": "db", "Engine": "postgres"}


def find(name: str, answers: dict[Ask, list[dict[str, Any]]], scope: Scope = SCOPE) -> Finding:
    return evaluate(BY_NAME[name], Seen(scope, dict(answers)))


def result(name: str, answers: dict[Ask, list[dict[str, Any]]], scope: Scope = SCOPE) -> str:
    return find(name, answers, scope).result


def test_on_demand_needs_no_scaling() -> None:
    found = {"BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"}}
    assert result("table-scaling", {table.TABLE: [{"Table": found}], table.SCALING: []}) == "pass"


def test_a_key_that_cannot_be_reached_says_since_when() -> None:
    lost = {"SSEDescription": {"InaccessibleEncryptionDateTime": datetime(2026, 11, 19, tzinfo=UTC)}}
    key = {"KeyMetadata": {"KeyState": "Disabled", "Arn": "arn:key", "KeyId": "k"}}
    found = find("table-key", {table.TABLE: [{"Table": lost}], table.KEY: [key]})
    assert (found.result, found.evidence) == ("fail", "arn:key is Disabled; no access since 2026-11-19")
    assert found.remedy == "aws kms enable-key --key-id k --region eu-central-1"


def test_a_key_about_to_be_deleted_says_when_and_how_to_keep_it() -> None:
    moment = datetime(2026, 12, 1, tzinfo=UTC)
    key = {"KeyMetadata": {"KeyState": "PendingDeletion", "Arn": "a", "KeyId": "k", "DeletionDate": moment}}
    found = find("table-key", {table.TABLE: [{"Table": {}}], table.KEY: [key]})
    assert "on 2026-12-01" in found.evidence
    assert "cancel-key-deletion" in str(found.remedy)


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ({"VpcEndpointType": "Interface", "State": "available"}, "pass"),
        ({"VpcEndpointType": "Gateway", "State": "available", "RouteTableIds": ["rtb-1"]}, "pass"),
        ({"VpcEndpointType": "Gateway", "State": "available", "RouteTableIds": []}, "fail"),
        ({"VpcEndpointType": "Interface", "State": "pending"}, "fail"),
        ({"ServiceName": "com.amazonaws.eu-central-1.s3", "State": "available", "RouteTableIds": ["r"]}, "fail"),
    ],
)
def test_only_an_endpoint_that_takes_traffic_counts(endpoint: dict[str, Any], expected: str) -> None:
    one = {"VpcEndpointId": "vpce-1", "ServiceName": "com.amazonaws.eu-central-1.dynamodb", **endpoint}
    scope = replace(SCOPE, vpc_id="vpc-1")
    assert result("vpc-endpoint", {network.ENDPOINTS: [{"VpcEndpoints": [one]}]}, scope) == expected


def test_a_named_vpc_needs_no_database() -> None:
    params = list(network.ENDPOINTS.params(Seen(replace(SCOPE, vpc_id="vpc-1"), {})))
    assert params == [{"Filters": [{"Name": "vpc-id", "Values": ["vpc-1"]}]}]


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ({"EventSelectors": [{"DataResources": [{"Type": "AWS::DynamoDB::Table", "Values": [ARN]}]}]}, "pass"),
        (
            {"EventSelectors": [{"DataResources": [{"Type": "AWS::DynamoDB::Table", "Values": ["arn:aws:dynamodb"]}]}]},
            "pass",
        ),
        ({"EventSelectors": [{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}]}, "fail"),
        (
            {
                "EventSelectors": [
                    {
                        "ReadWriteType": "ReadOnly",
                        "DataResources": [{"Type": "AWS::DynamoDB::Table", "Values": [ARN]}],
                    }
                ]
            },
            "fail",
        ),
        ({"AdvancedEventSelectors": [{"FieldSelectors": []}]}, "fail"),
    ],
)
def test_data_events_are_found_in_selectors_of_the_older_form(selectors: dict[str, Any], expected: str) -> None:
    assert result("trail-data-events", _trail(selectors)) == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({"Field": "resources.ARN", "Equals": [ARN]}, "pass"),
        ({"Field": "resources.ARN", "StartsWith": ["arn:aws:dynamodb:us-"]}, "fail"),
        ({"Field": "resources.ARN", "NotEndsWith": ["/t"]}, "fail"),
        ({"Field": "readOnly", "Equals": ["true"]}, "fail"),
        ({"Field": "readOnly", "Equals": ["false"]}, "pass"),
    ],
)
def test_data_events_are_found_in_advanced_selectors(field: dict[str, Any], expected: str) -> None:
    fields = [
        {"Field": "eventCategory", "Equals": ["Data"]},
        {"Field": "resources.type", "Equals": ["AWS::DynamoDB::Table"]},
        field,
    ]
    assert result("trail-data-events", _trail({"AdvancedEventSelectors": [{"FieldSelectors": fields}]})) == expected


def test_a_trail_without_selectors_of_its_own_records_the_account() -> None:
    simple = {"EventSelectors": [{"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": []}]}
    assert result("trail-multi-region", _trail(simple)) == "pass"
    writes = {"EventSelectors": [{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True}]}
    assert result("trail-multi-region", _trail(writes)) == "fail"


def _trail(selectors: dict[str, Any]) -> dict[Ask, list[dict[str, Any]]]:
    one = {"Name": "all", "TrailARN": "arn:trail", "IsMultiRegionTrail": True}
    return {
        trail.TRAILS: [{"trailList": [one]}],
        trail.STATUS: [{"IsLogging": True}],
        trail.SELECTORS: [selectors],
    }


def test_without_a_trail_the_remedy_creates_one() -> None:
    found = find("trail-logging", {trail.TRAILS: [{"trailList": []}], trail.STATUS: []})
    assert (found.result, found.evidence) == ("fail", "there is no trail")
    assert "create-trail" in str(found.remedy)


def test_without_a_recorder_the_remedy_creates_one() -> None:
    found = find("config-recorder", {trail.RECORDERS: [{}], trail.RECORDING: [{}]})
    assert found.evidence == "there is no recorder"


def test_no_organisation_and_its_own_account_are_not_limited_by_it() -> None:
    nothing: dict[Ask, list[dict[str, Any]]] = {
        organisation.PARENTS: [],
        organisation.ATTACHED: [],
        organisation.DOCUMENTS: [],
    }
    alone = find("organisation-deletion", {**nothing, organisation.ORGANISATION: []})
    assert (alone.result, alone.evidence) == ("fail", "the account is in no organisation")
    head = {"Organization": {"MasterAccountId": SCOPE.account}}
    found = find("organisation-regions", {**nothing, organisation.ORGANISATION: [head]})
    assert "management account" in found.evidence


def test_a_limit_of_regions_forbids_no_deletion_here() -> None:
    deny = {
        "Effect": "Deny",
        "NotAction": "iam:*",
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:RequestedRegion": ["eu-central-1"]}},
    }
    policy = {"Policy": {"PolicySummary": {"Name": "regions"}, "Content": json.dumps({"Statement": [deny]})}}
    answers: dict[Ask, list[dict[str, Any]]] = {
        organisation.ORGANISATION: [{"Organization": {"MasterAccountId": "1"}}],
        organisation.PARENTS: [],
        organisation.ATTACHED: [],
        organisation.DOCUMENTS: [policy],
    }
    assert result("organisation-deletion", answers) == "fail"
    assert result("organisation-regions", answers) == "pass"


@pytest.mark.parametrize(
    ("alarm", "expected"),
    [
        ({"MetricName": "UserErrors", "Namespace": "AWS/DynamoDB", "Dimensions": []}, "pass"),
        ({"MetricName": "SystemErrors", "Namespace": "AWS/Lambda", "Dimensions": []}, "fail"),
        ({"MetricName": "SystemErrors", "Namespace": "AWS/DynamoDB", "ActionsEnabled": False}, "fail"),
        (
            {
                "MetricName": "SystemErrors",
                "Namespace": "AWS/DynamoDB",
                "Dimensions": [{"Name": "TableName", "Value": "another"}],
            },
            "fail",
        ),
        (
            {
                "Metrics": [
                    {
                        "MetricStat": {
                            "Metric": {
                                "MetricName": "SystemErrors",
                                "Namespace": "AWS/DynamoDB",
                                "Dimensions": [{"Name": "TableName", "Value": "t"}],
                            }
                        }
                    }
                ]
            },
            "pass",
        ),
    ],
)
def test_only_an_alarm_with_an_action_on_the_table_counts(alarm: dict[str, Any], expected: str) -> None:
    one = {"AlarmName": "a", "AlarmActions": ["arn:topic"], **alarm}
    assert result("alarm-errors", {alarms.ALARMS: [{"MetricAlarms": [one]}]}) == expected


def test_throttled_requests_watch_reads_and_writes_at_once() -> None:
    one = {"AlarmName": "a", "AlarmActions": ["x"], "MetricName": "ThrottledRequests", "Namespace": "AWS/DynamoDB"}
    assert result("alarm-throttling", {alarms.ALARMS: [{"MetricAlarms": [one]}]}) == "pass"


def test_the_named_or_the_only_postgresql_instance_is_checked() -> None:
    several = [{"DBInstances": [POSTGRES, {**POSTGRES, "DBInstanceIdentifier": "db2"}]}]
    found = find("database-public-access", {database.INSTANCES: several})
    assert (found.result, found.permission) == ("cannot see", None)
    assert "2 PostgreSQL instances (db, db2): choose one with --instance." in found.evidence
    other = [{"DBInstances": [{**POSTGRES, "Engine": "mysql"}]}]
    assert "no PostgreSQL instance" in find("database-public-access", {database.INSTANCES: other}).evidence
    named = replace(SCOPE, db_instance="gone")
    assert "no database instance 'gone'" in find("database-public-access", {database.INSTANCES: []}, named).evidence


@pytest.mark.parametrize(
    ("rule", "open_", "wide"),
    [
        ({"IpProtocol": "-1", "FromPort": -1, "ToPort": -1, "CidrIpv4": "0.0.0.0/0"}, "fail", "pass"),
        ({"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "CidrIpv6": "::/0"}, "fail", "pass"),
        ({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIpv4": "0.0.0.0/0"}, "pass", "pass"),
        ({"IpProtocol": "udp", "FromPort": 5432, "ToPort": 5432, "CidrIpv4": "0.0.0.0/0"}, "pass", "pass"),
        ({"IpProtocol": "-1", "CidrIpv4": "0.0.0.0/0", "IsEgress": True}, "pass", "pass"),
        ({"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "CidrIpv4": "0.0.0.0/1"}, "pass", "fail"),
        ({"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "CidrIpv6": "2a00::/16"}, "pass", "fail"),
        ({"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "CidrIpv4": "10.0.0.0/8"}, "pass", "pass"),
        ({"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "CidrIpv4": "8.8.8.0/24"}, "pass", "pass"),
        (
            {
                "IpProtocol": "tcp",
                "FromPort": 5432,
                "ToPort": 5432,
                "ReferencedGroupInfo": {"GroupId": "sg-app"},
            },
            "pass",
            "pass",
        ),
    ],
)
def test_rules_are_judged_by_port_and_network(rule: dict[str, Any], open_: str, wide: str) -> None:
    one = {"SecurityGroupRuleId": "sgr-1", "GroupId": "sg-1", "IsEgress": False, **rule}
    answers: dict[Ask, list[dict[str, Any]]] = {security_group.RULES: [{"SecurityGroupRules": [one]}]}
    assert (result("access-open", answers), result("access-wide", answers)) == (open_, wide)


def test_a_rule_that_was_closed_is_neither_old_nor_past_its_time() -> None:
    rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "SecurityGroupRuleId": "sgr-1", "GroupId": "sg-1"}
    old = "cruddur me@laptop 2026-01-01T10:00Z until 2026-01-01T18:00Z"
    for source, expected in (("198.51.100.7/32", "fail"), ("127.0.0.1/32", "pass")):
        one = {**rule, "IsEgress": False, "CidrIpv4": source, "Description": old}
        answers: dict[Ask, list[dict[str, Any]]] = {security_group.RULES: [{"SecurityGroupRules": [one]}]}
        assert result("access-stale", answers) == expected
        assert result("access-expired", answers) == expected


@pytest.mark.parametrize(
    ("pool", "check", "expected"),
    [
        ({"MfaConfiguration": "ON"}, "pool-mfa", "pass"),
        (
            {"MfaConfiguration": "OFF", "Policies": {"SignInPolicy": {"AllowedFirstAuthFactors": ["WEB_AUTHN"]}}},
            "pool-mfa",
            "pass",
        ),
        ({}, "pool-mfa", "fail"),
        ({"AdminCreateUserConfig": {"AllowAdminCreateUserOnly": True}}, "pool-self-registration", "pass"),
        ({}, "pool-passwords", "fail"),
    ],
)
def test_settings_of_a_user_pool(pool: dict[str, Any], check: str, expected: str) -> None:
    assert result(check, {user_pool.POOL: [{"UserPool": pool}]}) == expected
