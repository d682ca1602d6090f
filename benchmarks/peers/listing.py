"""Lists a user pool with botocore alone, for comparison with ``db update-cognito-user-ids``."""

import os
import sys
from typing import Any

import botocore.session

client: Any = botocore.session.Session().create_client(
    "cognito-idp",
    endpoint_url=os.environ["BENCHMARK_ENDPOINT"],
    region_name="us-east-1",
    aws_access_key_id="local",
    aws_secret_access_key="local",
)
params: dict[str, Any] = {"UserPoolId": os.environ["BENCHMARK_POOL"], "Limit": 60}
count = 0
while True:
    page = client.list_users(**params)
    count += len(page["Users"])
    if not page.get("PaginationToken"):
        break
    params["PaginationToken"] = page["PaginationToken"]
sys.stdout.write(f"{count}\n")
