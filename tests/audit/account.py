"""A simulated AWS account (moto) in which every check passes, and the changes that make a single check fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from cruddur_cli import times
from cruddur_cli.audit.model import Scope
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.stream_lambda import policy

REGION, ACCOUNT = "eu-central-1", "123456789012"
TABLE, FUNCTION, INDEX = "cruddur-messages", "cruddur-stream", "message-group-sk-index"
INSTANCE = "cruddur-db"
ARN = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{TABLE}"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms"
SCALED = [
    (f"table/{TABLE}{suffix}", f"dynamodb:{kind}:{direction}CapacityUnits")
    for suffix, kind in (("", "table"), (f"/index/{INDEX}", "index"))
    for direction in ("Read", "Write")
]
KEEP_TABLES = {"Effect": "Deny", "Action": "dynamodb:Delete*", "Resource": "*"}
LIMIT_REGIONS = {
    "Effect": "Deny",
    "NotAction": "iam:*",
    "Resource": "*",
    "Condition": {"StringNotEquals": {"aws:RequestedRegion": [REGION]}},
}


@cache
def client(service: str) -> Any:
    """A boto3 client that creates and changes the simulated account."""
    # Kept for all tests, and so free of what one of them has set.
    config = Config(ignore_configured_endpoint_urls=True, proxies={})  # type: ignore[call-arg]
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client(service, region_name=REGION, config=config, **keys)  # type: ignore[call-overload]


@cache
def _reader(service: str) -> tuple[Any, aws_client.Endpoint]:
    """A client for all tests, because reading a service's model takes longer than all requests."""
    at = aws_client.Endpoint(service, None, REGION, f"{service} at AWS", read_only=True)
    return aws_client.open_client(at), at


@dataclass
class Account:
    """The account; changes of answers that moto cannot give (``says``, by operation); and the requests."""

    now: datetime
    pool: str = ""
    vpc: str = ""
    endpoint: str = ""
    group: str = ""
    key: str = ""
    organisation_policies: dict[str, str] = field(default_factory=dict)
    says: dict[str, list[Callable[[dict[str, Any]], None]]] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)

    @property
    def scope(self) -> Scope:
        return Scope(
            table=TABLE,
            region=REGION,
            account=ACCOUNT,
            partition="aws",
            now=self.now,
            user_pool_id=self.pool,
            function=FUNCTION,
        )

    def say(self, operation: str, change: Callable[[dict[str, Any]], None]) -> None:
        self.says.setdefault(operation, []).append(change)

    @contextmanager
    def opened(self, service: str) -> Iterator[tuple[Any, aws_client.Endpoint]]:
        """A client as the command opens it: read-only, with the answers that moto lacks."""
        found, at = _reader(service)
        for event, handler in (("before-call.*.*", self._before), ("after-call.*.*", self._after)):
            found.meta.events.register(event, handler, unique_id=event)
        try:
            yield found, at
        finally:
            for event in ("before-call.*.*", "after-call.*.*"):
                found.meta.events.unregister(event, unique_id=event)

    def _before(self, model: Any, **_: Any) -> Any:
        from botocore.awsrequest import AWSResponse, HTTPHeaders

        self.requests.append(model.name)
        if model.name in self.denied:
            code = "UnauthorizedOperation" if model.service_model.service_name == "ec2" else "AccessDenied"
            error = {"Error": {"Code": code, "Message": "not authorized"}, "ResponseMetadata": {}}
            return AWSResponse("", 403, HTTPHeaders(), None), error
        return None

    def _after(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        for change in self.says.get(model.name, []):
            change(parsed)


def build() -> Account:
    """Create the account in which every check passes."""
    account = Account(now=times.now())
    _table(account)
    _network(account)
    _recording()
    _organisation(account)
    for metric in ("ReadThrottleEvents", "WriteThrottleEvents", "SystemErrors"):
        alarm(metric)
    _pool(account)
    _function()
    return account


def _table(account: Account) -> None:
    key = client("kms").create_key()["KeyMetadata"]
    account.key = key["KeyId"]
    dynamodb = client("dynamodb")
    dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "message_group_uuid")
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": INDEX,
                "KeySchema": [
                    {"AttributeName": "message_group_uuid", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
                "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
            }
        ],
        ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
        SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key["Arn"]},
        DeletionProtectionEnabled=True,
        Tags=[{"Key": "Project", "Value": "cruddur"}],
    )
    for resource, dimension in SCALED:
        client("application-autoscaling").register_scalable_target(
            ServiceNamespace="dynamodb",
            ResourceId=resource,
            ScalableDimension=dimension,
            MinCapacity=5,
            MaxCapacity=50,
        )
    recovery(True, 35)
    dynamodb.create_backup(TableName=TABLE, BackupName="weekly")
    account.say("ListBackups", backed_up(account.now))


def backed_up(moment: datetime) -> Callable[[dict[str, Any]], None]:
    """Give the backup a time by the tests' clock, which may be shifted; moto's cannot."""

    def change(parsed: dict[str, Any]) -> None:
        for one in parsed.get("BackupSummaries", []):
            one["BackupCreationDateTime"] = moment

    return change


def recovery(on: bool, days: int) -> None:
    specification = {"PointInTimeRecoveryEnabled": on, **({"RecoveryPeriodInDays": days} if on else {})}
    client("dynamodb").update_continuous_backups(TableName=TABLE, PointInTimeRecoverySpecification=specification)


def _network(account: Account) -> None:
    ec2 = client("ec2")
    account.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=account.vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"]
        for n, zone in enumerate("ab")
    ]
    table = ec2.create_route_table(VpcId=account.vpc)["RouteTable"]["RouteTableId"]
    limited = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "dynamodb:*", "Resource": f"{ARN}*"}]}
    account.endpoint = ec2.create_vpc_endpoint(
        VpcId=account.vpc,
        ServiceName=f"com.amazonaws.{REGION}.dynamodb",
        VpcEndpointType="Gateway",
        RouteTableIds=[table],
        PolicyDocument=json.dumps(limited),
    )["VpcEndpoint"]["VpcEndpointId"]
    account.group = ec2.create_security_group(GroupName="cruddur-db", Description="db", VpcId=account.vpc)["GroupId"]
    let_in(account, "198.51.100.7/32", f"cruddur me@laptop {account.now - timedelta(days=2):%Y-%m-%dT%H:%MZ}")
    rds = client("rds")
    rds.create_db_subnet_group(
        DBSubnetGroupName="cruddur", DBSubnetGroupDescription="db", SubnetIds=[one["SubnetId"] for one in subnets]
    )
    rds.create_db_instance(
        DBInstanceIdentifier=INSTANCE,
        Engine="postgres",
        EngineVersion="17.5",
        DBInstanceClass="db.t3.micro",
        AllocatedStorage=20,
        MasterUsername="cruddurroot",
        MasterUserPassword="not-a-secret",
        DBSubnetGroupName="cruddur",
        VpcSecurityGroupIds=[account.group],
        StorageEncrypted=True,
        DeletionProtection=True,
        BackupRetentionPeriod=7,
        PubliclyAccessible=False,
        AutoMinorVersionUpgrade=True,
    )
    account.say("DescribeDBInstances", certificate("rds-ca-rsa2048-g1", account.now + timedelta(days=400)))


def certificate(authority: str, until: datetime) -> Callable[[dict[str, Any]], None]:
    """Give the instance a current certificate: moto has only the name of a very old authority."""

    def change(parsed: dict[str, Any]) -> None:
        for one in parsed.get("DBInstances", []):
            one["CACertificateIdentifier"] = authority
            one["CertificateDetails"] = {"CAIdentifier": authority, "ValidTill": until}

    return change


def let_in(account: Account, network: str, description: str) -> None:
    entry = {"CidrIp": network, "Description": description}
    permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [entry]}
    client("ec2").authorize_security_group_ingress(GroupId=account.group, IpPermissions=[permission])


def _recording() -> None:
    client("s3").create_bucket(Bucket="cruddur-trail", CreateBucketConfiguration={"LocationConstraint": REGION})
    trail = client("cloudtrail")
    trail.create_trail(Name="all", S3BucketName="cruddur-trail", IsMultiRegionTrail=True)
    trail.start_logging(Name="all")
    select(with_rows=True, management=True)
    config = client("config")
    record(all_supported=True)
    config.put_delivery_channel(DeliveryChannel={"name": "default", "s3BucketName": "cruddur-trail"})
    config.start_configuration_recorder(ConfigurationRecorderName="default")
    for identifier in (
        "DYNAMODB_PITR_ENABLED",
        "DYNAMODB_TABLE_DELETION_PROTECTION_ENABLED",
        "DYNAMODB_TABLE_ENCRYPTED_KMS",
    ):
        source = {"Owner": "AWS", "SourceIdentifier": identifier}
        config.put_config_rule(ConfigRule={"ConfigRuleName": identifier.lower(), "Source": source})


def record(*, all_supported: bool) -> None:
    group = {"allSupported": True} if all_supported else {"resourceTypes": ["AWS::S3::Bucket"]}
    role = f"arn:aws:iam::{ACCOUNT}:role/config"
    client("config").put_configuration_recorder(
        ConfigurationRecorder={"name": "default", "roleARN": role, "recordingGroup": group}
    )


def select(*, with_rows: bool, management: bool) -> None:
    rows = {
        "Name": "rows",
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::DynamoDB::Table" if with_rows else "AWS::S3::Object"]},
        ],
    }
    account = {"Name": "account", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}
    client("cloudtrail").put_event_selectors(
        TrailName="all", AdvancedEventSelectors=[rows, *([account] if management else [])]
    )


def _organisation(account: Account) -> None:
    organizations = client("organizations")
    organizations.create_organization(FeatureSet="ALL")
    root = organizations.list_roots()["Roots"][0]["Id"]
    organizations.enable_policy_type(RootId=root, PolicyType="SERVICE_CONTROL_POLICY")
    for name, statement in (("keep-tables", KEEP_TABLES), ("regions", LIMIT_REGIONS)):
        content = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        made = organizations.create_policy(Name=name, Description=name, Type="SERVICE_CONTROL_POLICY", Content=content)[
            "Policy"
        ]["PolicySummary"]["Id"]
        organizations.attach_policy(PolicyId=made, TargetId=root)
        account.organisation_policies[name] = made

    def is_member(parsed: dict[str, Any]) -> None:
        # The simulated account made the organisation, and would be the one that its policies do not limit.
        if "Organization" in parsed:
            parsed["Organization"]["MasterAccountId"] = "210987654321"

    account.say("DescribeOrganization", is_member)


def alarm(metric: str, *, with_action: bool = True) -> None:
    client("cloudwatch").put_metric_alarm(
        AlarmName=f"{TABLE}-{metric}",
        Namespace="AWS/DynamoDB",
        MetricName=metric,
        Dimensions=[{"Name": "TableName", "Value": TABLE}],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[TOPIC] if with_action else [],
    )


def _pool(account: Account) -> None:
    rules = {f"Require{kind}": True for kind in ("Lowercase", "Uppercase", "Numbers", "Symbols")}
    account.pool = client("cognito-idp").create_user_pool(
        PoolName="cruddur",
        Policies={"PasswordPolicy": {"MinimumLength": 12, "TemporaryPasswordValidityDays": 7, **rules}},
        MfaConfiguration="OPTIONAL",
        AutoVerifiedAttributes=["email"],
        DeletionProtection="ACTIVE",
    )["UserPool"]["Id"]


def grant(statement: dict[str, Any]) -> None:
    """Attach a managed policy to the stream function's role."""
    iam = client("iam")
    document = {"Version": "2012-10-17", "Statement": [statement]}
    name = f"more-{len(iam.list_attached_role_policies(RoleName=FUNCTION)['AttachedPolicies'])}"
    arn = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=FUNCTION, PolicyArn=arn)


def _function() -> None:
    iam = client("iam")
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}]}
    role = iam.create_role(RoleName="cruddur-stream", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    least = policy.of(
        partition="aws", region=REGION, account=ACCOUNT, table=TABLE, function=FUNCTION, queue="cruddur-stream-failed"
    )
    *rest, logs = least["Statement"]
    inline = json.dumps({**least, "Statement": rest})
    iam.put_role_policy(RoleName="cruddur-stream", PolicyName="least", PolicyDocument=inline)
    grant(logs)
    client("lambda").create_function(
        FunctionName=FUNCTION,
        Runtime="python3.13",
        Role=role,
        Handler="cruddur_cli.stream_lambda.handler.handler",
        Code={"ZipFile": b"PK\x05\x06" + bytes(18)},
    )
