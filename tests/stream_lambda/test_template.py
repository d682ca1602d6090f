"""The template passes cfn-lint, and has the settings of docs/lambda.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.audit import policies
from cruddur_cli.cli import main as cli
from cruddur_cli.dynamodb import tables
from cruddur_cli.stream_lambda import policy, template

MADE = template.build(table="cruddur-messages", function="cruddur-stream")
RESOURCES: dict[str, Any] = MADE["Resources"]


def lint(made: dict[str, Any]) -> list[str]:
    import cfnlint.api  # type: ignore[import-untyped]  # here: it takes seconds, in each process that runs tests

    found = cfnlint.api.lint(json.dumps(made), regions=["us-east-1", "eu-central-1"])
    return [f"{match.rule.id} {match.message}" for match in found]


def test_cfn_lint_finds_nothing_and_would_find_a_mistake() -> None:
    assert lint(MADE) == []
    wrong = json.loads(json.dumps(MADE))
    wrong["Resources"]["Mapping"]["Properties"]["StartingPosition"] = "OLDEST"
    wrong["Resources"]["Function"]["Properties"]["Role"] = {"Fn::GetAtt": ["Rolle", "Arn"]}
    assert {line.split()[0] for line in lint(wrong)} >= {"E3031", "E1010"}


def test_the_command_prints_the_template_with_its_names(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["ddb", "stream", "template", "--table", "messages", "--function", "mover"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed == template.build(table="messages", function="mover")
    assert printed["Parameters"]["TableName"]["Default"] == "messages"


def test_the_table_is_the_one_that_the_application_expects() -> None:
    properties = RESOURCES["Table"]["Properties"]
    raw = {**properties, "TableName": "t", "TableStatus": "ACTIVE"}
    assert tables.differences(tables.of_description(raw)) == []
    assert properties["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert RESOURCES["Table"]["DeletionPolicy"] == RESOURCES["Table"]["UpdateReplacePolicy"] == "Retain"


def test_the_role_has_exactly_the_permissions_of_the_policy() -> None:
    names = {"partition": "aws", "region": "eu-central-1", "account": "123456789012"}
    least = policy.of(**names, table="cruddur-messages", function="cruddur-stream", queue="failed")
    resolved = _resolved(RESOURCES["Role"]["Properties"]["Policies"][0]["PolicyDocument"])
    assert policies.beyond([resolved], least) == []
    assert [one["Action"] for one in resolved["Statement"]] == [one["Action"] for one in least["Statement"]]


def test_the_event_source_has_the_settings_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "lambda.md").read_text(encoding="utf-8")
    properties = RESOURCES["Mapping"]["Properties"]
    for name, value in {
        "StartingPosition": "`TRIM_HORIZON`",
        "FunctionResponseTypes": "`ReportBatchItemFailures`",
        "BatchSize": "100",
        "MaximumBatchingWindowInSeconds": "0",
        "BisectBatchOnFunctionError": "true",
        "MaximumRetryAttempts": "10",
        "ParallelizationFactor": "1",
    }.items():
        assert f"| `{name}` | {value} |" in page
        found = properties[name]
        written = found[0] if isinstance(found, list) else found
        assert str(written).lower() == value.strip("`").lower()
    (pattern,) = properties["FilterCriteria"]["Filters"]
    assert json.dumps(pattern["Pattern"])[1:-1] in page


def _resolved(value: Any) -> Any:
    """A part of the template with its expressions resolved."""
    arns = {
        ("Table", "Arn"): "arn:aws:dynamodb:eu-central-1:123456789012:table/cruddur-messages",
        ("Table", "StreamArn"): "arn:aws:dynamodb:eu-central-1:123456789012:table/cruddur-messages/stream/2026",
        ("FailedRecords", "Arn"): "arn:aws:sqs:eu-central-1:123456789012:failed",
        ("Logs", "Arn"): "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/cruddur-stream:*",
    }
    if isinstance(value, dict) and "Fn::GetAtt" in value:
        return arns[tuple(value["Fn::GetAtt"])]
    if isinstance(value, dict) and "Fn::Sub" in value:
        return value["Fn::Sub"].replace("${Table.Arn}", arns["Table", "Arn"])
    if isinstance(value, dict):
        return {name: _resolved(inner) for name, inner in value.items()}
    return [_resolved(inner) for inner in value] if isinstance(value, list) else value
