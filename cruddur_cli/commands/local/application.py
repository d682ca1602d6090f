"""Owns the variables that lead the application to the stores that ``setup`` filled, and how they are written."""

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
    """Each variable and its value: the same stores that a command without ``--prod`` talks to.

    Starts the embedded engines that are needed. Secrets that are in this environment already are not repeated.
    """
    refuse_prod(s)
    found = {"CRUDDUR_HOME": str(home.locate())}
    server = targets.server(s)
    read = connection.as_libpq_reads(os.environ.get("CONNECTION_URL", ""))
    if server.embedded or not read or read.items() - server.parameters.items():
        found["CONNECTION_URL"] = _url(server)
    at = targets.message_endpoint(s)
    region = at.region or aws_client.LOCAL_REGION
    found |= {
        # The application hands this one to DynamoDB itself; the others are the SDK's.
        "AWS_ENDPOINT_URL": at.url or "",
        "AWS_ENDPOINT_URL_DYNAMODB": at.url or "",
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": at.url or "",
        "DDB_MESSAGE_TABLE": s.table,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
    # DynamoDB Local keeps separate tables for each key, so a person's own key stays.
    if at.embedded or not (os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY")):
        found |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), aws_client.DUMMY_CREDENTIAL)
    return found | _pool(s)


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
    """The connection URL, percent-encoded so that no file or shell reads a sign in it as its own."""
    given = {name: str(value) for name, value in at.parameters.items() if value is not None}
    named = {name: given.pop(name, "") for name in ("user", "password", "host", "port", "dbname")}
    password = f":{quote(named['password'], safe='')}" if named["password"] else ""
    host = named["host"] or at.host
    # Several hosts have commas between them, an IPv6 address is in brackets, a socket's folder is percent-encoded.
    place = f"[{host}]" if ":" in host and "," not in host else quote(host, safe=",:[]")
    options = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
    return (
        f"postgresql://{quote(named['user'] or at.user, safe='')}{password}@{place}:{named['port'] or at.port}"
        f"/{quote(at.database, safe='')}" + (f"?{options}" if options else "")
    )


def refuse_prod(s: Settings) -> None:
    """Raise BadInput where a command that is about this machine alone was given ``--prod``."""
    if s.prod:
        raise BadInput(
            "--prod has no meaning here: the embedded stack is on this machine.", again=Again(without=("--prod",))
        )


def written(found: Mapping[str, str], form: Form) -> str:
    """The variables as the text of a form. Raises NotConfigured for a value that a dotenv file cannot hold."""
    if form is Form.JSON:
        return json.dumps(found, indent=2)
    if form is Form.SHELL:
        return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in found.items())
    return "\n".join(f"{name}={_plain(name, value)}" for name, value in found.items())


def _plain(name: str, value: str) -> str:
    """A value that every reader of dotenv files takes as it is, GITHUB_ENV's among them: without quotes."""
    if re.search(r"[\n\r$\\`]|^[\s'\"]|\s$|(^|\s)#", value):
        raise NotConfigured(
            f"The value of {name} has a character that a dotenv file cannot have (a line end, $, \\, ` or a quote).",
            hint="cruddur local env -o shell, or -o json",
        )
    return value
