"""Owns the variables with which the application uses the stores that ``setup`` filled, and their output formats."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from urllib.parse import quote

from ... import output
from ...aws import user_pool
from ...aws_client import client as aws_client
from ...errors import Again, BadInput, NotConfigured
from ...local import home
from ...postgres import connection
from ...settings import Settings
from ..shared import targets
from ..shared.options import Form


def variables(s: Settings) -> dict[str, str]:
    """The variables and their values, for the stores that a command without ``--prod`` uses.

    Starts the embedded engines that are needed. A CONNECTION_URL of this environment that names the same database is
    left out, because it may contain a password.
    """
    refuse_prod(s)
    result = {"CRUDDUR_HOME": str(home.locate())}
    server = targets.server(s)
    given_parameters = connection.as_libpq_reads(os.environ.get("CONNECTION_URL", ""))
    if server.embedded or not given_parameters or given_parameters.items() - server.parameters.items():
        result["CONNECTION_URL"] = _url(server)
    at = targets.message_endpoint(s)
    region = at.region or aws_client.LOCAL_REGION
    result |= {
        # The application passes this one to its DynamoDB client; the SDK reads the others.
        "AWS_ENDPOINT_URL": at.url or "",
        "AWS_ENDPOINT_URL_DYNAMODB": at.url or "",
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": at.url or "",
        "DDB_MESSAGE_TABLE": s.table,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
    # DynamoDB Local has separate tables for each access key, so the user's own key is kept.
    if at.embedded or not (os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY")):
        result |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), aws_client.DUMMY_CREDENTIAL)
    return result | _pool(s)


def _pool(s: Settings) -> dict[str, str]:
    at = targets.pool_endpoint_if_any(s)
    if at is None:
        output.warn("there is no user pool here: the demo pool needs the extra `local`, which is not installed")
        return {}
    if not at.embedded:
        endpoint = {"AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": at.url} if at.url else {}
        return endpoint | ({"AWS_COGNITO_USER_POOL_ID": s.user_pool_id} if s.user_pool_id else {})
    endpoint = {"AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": at.url or ""}
    with aws_client.opened(at, trace=output.trace(s)) as client:
        pool = user_pool.find_pool(client, at, user_pool.DEMO_POOL)
        client_id = user_pool.app_client(user_pool.Cognito(client, at, pool)) if pool else None
    if not pool or not client_id:
        output.warn(f"{at.label} has no demo user pool with an app client yet; `cruddur setup` creates them")
        return endpoint
    return endpoint | {"AWS_COGNITO_USER_POOL_ID": pool, "AWS_COGNITO_USER_POOL_CLIENT_ID": client_id}


def _url(at: connection.Server) -> str:
    """The connection URL, percent-encoded so that no file format and no shell interprets a character of it."""
    parameters = {name: str(value) for name, value in at.parameters.items() if value is not None}
    main = {name: parameters.pop(name, "") for name in ("user", "password", "host", "port", "dbname")}
    password = f":{quote(main['password'], safe='')}" if main["password"] else ""
    host = main["host"] or at.host
    # Several hosts have commas between them, an IPv6 address is in brackets, a socket's folder is percent-encoded.
    authority = f"[{host}]" if ":" in host and "," not in host else quote(host, safe=",:[]")
    options = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
    return (
        f"postgresql://{quote(main['user'] or at.user, safe='')}{password}@{authority}:{main['port'] or at.port}"
        f"/{quote(at.database, safe='')}" + (f"?{options}" if options else "")
    )


def refuse_prod(s: Settings) -> None:
    """Raise BadInput for ``--prod`` with a command that is only about this machine."""
    if s.prod:
        raise BadInput(
            "--prod has no meaning here: the embedded stack is on this machine.", again=Again(without=("--prod",))
        )


def formatted(values: Mapping[str, str], form: Form) -> str:
    """The variables as text in this form. Raises NotConfigured for a value that a dotenv file cannot have."""
    if form is Form.JSON:
        return json.dumps(values, indent=2)
    if form is Form.SHELL:
        return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in values.items())
    return "\n".join(f"{name}={_plain(name, value)}" for name, value in values.items())


def _plain(name: str, value: str) -> str:
    """A value without quotes, which every reader of dotenv files (also GITHUB_ENV) reads unchanged.

    Raises NotConfigured.
    """
    if re.search(r"[\n\r$\\`]|^[\s'\"]|\s$|(^|\s)#", value):
        raise NotConfigured(
            f"The value of {name} has a character that a dotenv file cannot have (a line end, $, \\, ` or a quote).",
            hint="cruddur local env -o shell, or -o json",
        )
    return value
