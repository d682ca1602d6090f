"""The CloudFormation template of the table, its stream and the stream function. SAM can deploy it too.

Its settings are those of docs/lambda.md, and its permissions those of ``policy.least``.
"""

from __future__ import annotations

from typing import Any

from ..dynamodb.schema import INDEX, INDEX_KEYS, KEY_TYPES, KEYS
from . import policy
from .package import HANDLER

RUNTIME = "python3.13"
_FILTER = '{"eventName":["INSERT"],"dynamodb":{"Keys":{"pk":{"S":[{"prefix":"MSG#"}]}}}}'
# The metric SystemErrors exists for each operation. These are the operations of the application and the function.
_OPERATIONS = ("Query", "GetItem", "PutItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems")


def build(*, table: str, function: str) -> dict[str, Any]:
    """The template as a mapping. ``table`` and ``function`` are the defaults of its parameters."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Cruddur's messages: table, index, stream, and the function that moves group rows.",
        "Parameters": {
            "TableName": _parameter("The table's name.", table),
            "FunctionName": _parameter("The function's name.", function),
            "CodeBucket": _parameter("The bucket that holds the archive of `cruddur ddb stream package`."),
            "CodeKey": _parameter("The archive's key in the bucket.", "cruddur-stream.zip"),
            "AlarmTopic": _parameter("ARN of the SNS topic that hears the alarms; empty: no actions.", ""),
        },
        "Conditions": {"HasAlarmTopic": {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmTopic"}, ""]}]}},
        "Resources": {
            "Table": _table(),
            "FailedRecords": _queue(),
            "Role": _role(),
            "Logs": _logs(),
            "Function": _function(),
            "Mapping": _mapping(),
            **_alarms(),
        },
        "Outputs": {
            "TableArn": {"Value": _of("Table", "Arn")},
            "StreamArn": {"Value": _of("Table", "StreamArn")},
            "FailedRecordsUrl": {"Value": {"Ref": "FailedRecords"}},
        },
    }


def _parameter(description: str, default: str | None = None) -> dict[str, Any]:
    return {"Type": "String", "Description": description, **({} if default is None else {"Default": default})}


def _of(resource: str, attribute: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [resource, attribute]}


def _table() -> dict[str, Any]:
    index = {"IndexName": INDEX, "KeySchema": INDEX_KEYS, "Projection": {"ProjectionType": "ALL"}}
    return {
        "Type": "AWS::DynamoDB::Table",
        # A deleted stack, or a change that needs a new table, must not delete the messages.
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "TableName": {"Ref": "TableName"},
            "KeySchema": KEYS,
            "AttributeDefinitions": KEY_TYPES,
            "GlobalSecondaryIndexes": [index],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
            "DeletionProtectionEnabled": True,
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS"},
            "Tags": [{"Key": "cruddur:environment", "Value": "production"}],
        },
    }


def _queue() -> dict[str, Any]:
    fortnight_s = 14 * 24 * 3600
    return {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {"MessageRetentionPeriod": fortnight_s, "SqsManagedSseEnabled": True},
    }


def _role() -> dict[str, Any]:
    least = policy.least(
        table=_of("Table", "Arn"),
        stream=_of("Table", "StreamArn"),
        index={"Fn::Sub": f"${{Table.Arn}}/index/{INDEX}"},
        queue=_of("FailedRecords", "Arn"),
        logs=_of("Logs", "Arn"),
    )
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": trust,
            "Policies": [{"PolicyName": "least", "PolicyDocument": least}],
        },
    }


def _logs() -> dict[str, Any]:
    return {
        "Type": "AWS::Logs::LogGroup",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {"LogGroupName": {"Fn::Sub": "/aws/lambda/${FunctionName}"}, "RetentionInDays": 90},
    }


def _function() -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "DependsOn": "Logs",
        "Properties": {
            "FunctionName": {"Ref": "FunctionName"},
            "Runtime": RUNTIME,
            "Handler": HANDLER,
            "Code": {"S3Bucket": {"Ref": "CodeBucket"}, "S3Key": {"Ref": "CodeKey"}},
            "Role": _of("Role", "Arn"),
            "Timeout": 60,
            "MemorySize": 256,
            "Environment": {"Variables": {"DDB_MESSAGE_TABLE": {"Ref": "Table"}}},
        },
    }


def _mapping() -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "FunctionName": {"Ref": "Function"},
            "EventSourceArn": _of("Table", "StreamArn"),
            "StartingPosition": "TRIM_HORIZON",
            "BatchSize": 100,
            "MaximumBatchingWindowInSeconds": 0,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "BisectBatchOnFunctionError": True,
            "MaximumRetryAttempts": 10,
            "ParallelizationFactor": 1,
            "DestinationConfig": {"OnFailure": {"Destination": _of("FailedRecords", "Arn")}},
            "FilterCriteria": {"Filters": [{"Pattern": _FILTER}]},
        },
    }


def _alarms() -> dict[str, dict[str, Any]]:
    table = [{"Name": "TableName", "Value": {"Ref": "Table"}}]
    function = [{"Name": "FunctionName", "Value": {"Ref": "Function"}}]
    queue = [{"Name": "QueueName", "Value": _of("FailedRecords", "QueueName")}]
    errors = [
        {
            "Id": f"m{number}",
            "ReturnData": False,
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/DynamoDB",
                    "MetricName": "SystemErrors",
                    "Dimensions": [*table, {"Name": "Operation", "Value": operation}],
                },
                "Period": 60,
                "Stat": "Sum",
            },
        }
        for number, operation in enumerate(_OPERATIONS, 1)
    ]
    total = {"Id": "total", "Expression": "SUM(METRICS())", "Label": "SystemErrors", "ReturnData": True}
    return {
        "ReadsThrottled": _alarm(_metric("AWS/DynamoDB", "ReadThrottleEvents", table)),
        "WritesThrottled": _alarm(_metric("AWS/DynamoDB", "WriteThrottleEvents", table)),
        "TableErrors": _alarm({"Metrics": [*errors, total]}),
        "FunctionErrors": _alarm(_metric("AWS/Lambda", "Errors", function)),
        # A stream keeps records for 24 hours. After half of that there is still time to act.
        "FunctionLate": _alarm(_metric("AWS/Lambda", "IteratorAge", function, "Maximum"), threshold=12 * 3600 * 1000),
        "RecordsFailed": _alarm(_metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", queue, "Maximum")),
    }


def _metric(namespace: str, name: str, dimensions: list[dict[str, Any]], statistic: str = "Sum") -> dict[str, Any]:
    return {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": dimensions,
        "Statistic": statistic,
        "Period": 60,
    }


def _alarm(watches: dict[str, Any], *, threshold: int = 0) -> dict[str, Any]:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            **watches,
            "EvaluationPeriods": 1,
            "Threshold": threshold,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]},
        },
    }
