"""Links a control to its page at AWS: of a Security Hub control, of a Config rule, or of a guide."""

from __future__ import annotations

import re

_HUB = re.compile(r"Security Hub (?P<service>[A-Za-z0-9]+)\.(?P<number>\d+)")
_RULE = re.compile(r"AWS Config (?P<rule>[a-z0-9-]+)")
_DOCS = "https://docs.aws.amazon.com"
_GUIDES = {
    "Amazon Cognito Developer Guide, Signing up and confirming user accounts": (
        "cognito/latest/developerguide/signing-up-users-in-your-app.html"
    ),
    "Amazon RDS User Guide, Rotating your SSL/TLS certificate": (
        "AmazonRDS/latest/UserGuide/UsingWithRDS.SSL-certificate-rotation.html"
    ),
    "AWS PrivateLink Guide, Control access to VPC endpoints using endpoint policies": (
        "vpc/latest/privatelink/vpc-endpoints-access.html"
    ),
    "DynamoDB Developer Guide, Blocking public access with resource-based policies in DynamoDB": (
        "amazondynamodb/latest/developerguide/rbac-bpa-rbp.html"
    ),
    "DynamoDB Developer Guide, Logging DynamoDB operations by using AWS CloudTrail": (
        "amazondynamodb/latest/developerguide/logging-using-cloudtrail.html"
    ),
    "DynamoDB Developer Guide, DynamoDB metrics and dimensions": (
        "amazondynamodb/latest/developerguide/metrics-dimensions.html"
    ),
}


def page(control: str) -> str | None:
    """The URL of the page that describes a control; None if only the page's title is known."""
    if match := _HUB.fullmatch(control):
        service, number = match["service"].lower(), match["number"]
        return f"{_DOCS}/securityhub/latest/userguide/{service}-controls.html#{service}-{number}"
    if match := _RULE.fullmatch(control):
        return f"{_DOCS}/config/latest/developerguide/{match['rule']}.html"
    path = _GUIDES.get(control)
    return path and f"{_DOCS}/{path}"
