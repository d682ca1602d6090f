"""The least-privilege policy of the stream function. The docs show it, the template has it, the audit compares it."""

from __future__ import annotations

from typing import Any

# Lambda needs these too if the function is in a VPC ("AWSLambdaVPCAccessExecutionRole").
IN_A_VPC = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)


def least(*, table: object, stream: object, index: object, queue: object, logs: object) -> dict[str, Any]:
    """The policy for these resources. Each is an ARN, or an expression of a CloudFormation template."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadTheStream",
                "Effect": "Allow",
                "Action": ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
                "Resource": stream,
            },
            {"Sid": "FindTheStream", "Effect": "Allow", "Action": "dynamodb:ListStreams", "Resource": "*"},
            {
                "Sid": "MoveGroupRows",
                "Effect": "Allow",
                "Action": ["dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"],
                "Resource": table,
            },
            {"Sid": "FindGroupRows", "Effect": "Allow", "Action": "dynamodb:Query", "Resource": index},
            {"Sid": "ReportFailedRecords", "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue},
            {
                "Sid": "Log",
                "Effect": "Allow",
                "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": logs,
            },
        ],
    }


def of(*, partition: str, region: str, account: str, table: str, function: str, queue: str) -> dict[str, Any]:
    """The policy for a function, a table and a queue with these names."""
    arn = f"arn:{partition}:dynamodb:{region}:{account}:table/{table}"
    return least(
        table=arn,
        stream=f"{arn}/stream/*",
        index=f"{arn}/index/message-group-sk-index",
        queue=f"arn:{partition}:sqs:{region}:{account}:{queue}",
        logs=f"arn:{partition}:logs:{region}:{account}:log-group:/aws/lambda/{function}:*",
    )
