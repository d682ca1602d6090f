"""What a command was told: options, environment and ``cruddur.toml``, each value with the place it came from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from . import table_name
from .errors import NotConfigured

FILE_NAME = "cruddur.toml"
SEEDED_GROUP = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399"
_DUMMIES = {"local", "dummy", "fake", "test", "testing", "example"}


@dataclass(frozen=True)
class Known:
    """A setting there is: its name (the key in ``cruddur.toml``), where else it is read from, and what it means."""

    name: str
    meaning: str
    variables: tuple[str, ...] = ()
    prod_variables: tuple[str, ...] | None = None  # None: the same as without --prod
    default: str | None = None
    otherwise: str = ""  # what an unset value means, for a person
    prod_otherwise: str | None = None  # None: the same as without --prod
    option: str | None = None
    per_environment: bool = False  # a value outside [prod] never counts with --prod


KNOWN = (
    Known(
        "connection_url",
        "PostgreSQL",
        ("CONNECTION_URL", "DATABASE_URL"),
        ("PROD_CONNECTION_URL",),
        otherwise="the embedded PostgreSQL",
        prod_otherwise="an error, never another database",
        per_environment=True,
    ),
    Known("table", "the DynamoDB table", ("DDB_MESSAGE_TABLE",), default="cruddur-messages", option="--table"),
    Known("region", "AWS region", ("AWS_REGION", "AWS_DEFAULT_REGION"), otherwise="the profile's, us-east-1 locally"),
    Known(
        "dynamodb_endpoint",
        "DynamoDB and Streams",
        ("AWS_ENDPOINT_URL_DYNAMODB",),
        (),
        otherwise="aws_endpoint, a DynamoDB at local_dynamodb, or the embedded one",
        prod_otherwise="AWS",
        per_environment=True,
    ),
    Known(
        "local_dynamodb",
        "where a DynamoDB is looked for when no endpoint is named",
        ("CRUDDUR_LOCAL_DYNAMODB",),
        default="http://localhost:8000",
        per_environment=True,
    ),
    Known("aws_endpoint", "every AWS service", ("AWS_ENDPOINT_URL",), (), otherwise="none", per_environment=True),
    Known(
        "cognito_endpoint",
        "Cognito",
        ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",),
        (),
        otherwise="AWS where a user pool is named, else the embedded one",
        prod_otherwise="AWS",
        per_environment=True,
    ),
    Known(
        "user_pool_id",
        "the Cognito user pool",
        ("AWS_COGNITO_USER_POOL_ID",),
        otherwise="the demo pool",
        prod_otherwise="an error, where one is needed",
    ),
    Known(
        "ec2_endpoint", "EC2 (the security group)", ("AWS_ENDPOINT_URL_EC2",), (), otherwise="AWS", per_environment=True
    ),
    Known(
        "rds_endpoint",
        "RDS (the database instance)",
        ("AWS_ENDPOINT_URL_RDS",),
        (),
        otherwise="AWS",
        per_environment=True,
    ),
    Known(
        "db_instance", "the database instance", ("CRUDDUR_DB_INSTANCE",), otherwise="the only one", option="--instance"
    ),
    Known(
        "security_group_id",
        "the database's security group",
        ("DB_SG_ID",),
        otherwise="the group of the rule",
        option="--group-id",
    ),
    Known(
        "security_group_rule_id",
        "the rule that lets this machine in",
        ("DB_SG_RULE_ID",),
        otherwise="needed, or --discover",
        option="--rule-id",
    ),
    Known(
        "address",
        "this machine's address",
        ("GITPOD_IP", "CODESPACES_IP"),
        otherwise="asked of address_services",
        option="--ip",
    ),
    Known(
        "address_services",
        "who is asked for this machine's address; all must agree",
        ("CRUDDUR_ADDRESS_SERVICES",),
        default="https://checkip.amazonaws.com,https://api.ipify.org",
    ),
    Known(
        "schema_file",
        "the schema to load, counted from this file's folder",
        otherwise="backend-flask/db/schema.sql here or above, else our own",
        option="--file",
    ),
    Known(
        "seed_file",
        "the users and activities to seed, counted from this file's folder",
        otherwise="backend-flask/db/seed.sql here or above, else our own",
        option="--file",
    ),
    Known(
        "migrations_dir",
        "the folder of the migrations, counted from this file's folder",
        otherwise="backend-flask/db/migrations here or above",
    ),
    Known("my_handle", "you, in conversations", ("CRUDDUR_MY_HANDLE",), default="andrewbrown", option="--my-handle"),
    Known(
        "other_handle",
        "the other person of the seeded conversation",
        ("CRUDDUR_OTHER_HANDLE",),
        default="bayko",
        option="--other-handle",
    ),
)
_BY_NAME = {known.name: known for known in KNOWN}


@dataclass(frozen=True)
class Settings:
    """Everything a command was told, resolved once. ``origins`` says where each value came from."""

    connection_url: str | None
    table: str
    region: str | None
    dynamodb_endpoint: str | None
    local_dynamodb: str
    aws_endpoint: str | None
    cognito_endpoint: str | None
    user_pool_id: str | None
    ec2_endpoint: str | None
    rds_endpoint: str | None
    db_instance: str | None
    security_group_id: str | None
    security_group_rule_id: str | None
    address: str | None
    address_services: str
    schema_file: str | None
    seed_file: str | None
    migrations_dir: str | None
    my_handle: str
    other_handle: str
    origins: Mapping[str, str]
    file: Path | None = None
    prod: bool = False
    output: str = "table"
    dry_run: bool = False
    yes: bool = False
    confirm: str | None = None
    quiet: bool = False
    debug: bool = False
    explain: bool = False
    max_units: float | None = None
    rate: float | None = None
    wait_s: float = 0

    @property
    def environment(self) -> str:
        """The environment every store of this command belongs to, for a person."""
        return "production" if self.prod else "local"


def load(
    options: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """The settings for one command: option > environment > ``cruddur.toml`` (nearest, walking up) > default.

    Raises NotConfigured for a file that cannot be read or holds an unknown key, BadInput for a ``--table`` that
    DynamoDB would refuse or that is the word ``prod``; any other is checked where it is used.
    """
    options = dict(options or {})
    environ = os.environ if environ is None else environ
    prod = bool(options.get("prod", False))
    path, written = _read_file(folder or _here())
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for known in KNOWN:
        values[known.name], origins[known.name] = _resolve(known, options, environ, path, written, prod)
        options.pop(known.name, None)
    if origins["table"] == table_name.OPTION:
        table_name.check(values["table"], origins["table"])
    return Settings(**values, **options, origins=origins, file=path)


def _resolve(
    known: Known,
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    path: Path | None,
    written: Mapping[str, Any],
    prod: bool,
) -> tuple[Any, str]:
    if options.get(known.name) is not None:
        return options[known.name], known.option or "option"
    variables = known.prod_variables if prod and known.prod_variables is not None else known.variables
    for variable in variables:
        if environ.get(variable):
            return environ[variable], variable
    if prod and known.name in written.get("prod", {}):
        return written["prod"][known.name], f"{path}, [prod]"
    if known.name in written and not (prod and known.per_environment):
        return written[known.name], str(path)
    return known.default, "default"


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # the folder was deleted under the shell
        return Path("/")


def _read_file(folder: Path) -> tuple[Path | None, dict[str, Any]]:
    for place in (folder, *folder.parents):
        path = place / FILE_NAME
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise NotConfigured(f"{path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise NotConfigured(
                f"{path} is not UTF-8 text (byte {error.start + 1}).", hint="save it as UTF-8"
            ) from error
        import tomllib

        try:
            # Windows line ends are TOML's too, but not a lone carriage return.
            written = tomllib.loads(text.replace("\r\n", "\n"))
        except tomllib.TOMLDecodeError as error:
            raise NotConfigured(f"{path} is not valid TOML: {error}.") from error
        _check_keys(path, written)
        return path, written
    return None, {}


def _check_keys(path: Path, written: Mapping[str, Any]) -> None:
    def keys() -> Iterator[tuple[str, str, Any]]:
        for name, value in written.items():
            if name == "prod" and isinstance(value, dict):
                yield from (("[prod] ", inner, inner_value) for inner, inner_value in value.items())
            else:
                yield "", name, value

    for section, name, value in keys():
        if name not in _BY_NAME:
            import difflib

            near = difflib.get_close_matches(name, _BY_NAME, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(_BY_NAME)}."
            raise NotConfigured(f"{path} has an unknown key {section}{name!r}.", hint=hint)
        if not isinstance(value, str) or not value:
            raise NotConfigured(f"{path}: {section}{name} must be a text in quotes.")


_QUERY_SECRET = re.compile(r"(?i)((?:password|passfile|token|secret)\s*=\s*)('(?:[^'\\]|\\.)*'|[^&\s]*)")


def mask_url(url: str) -> str:
    """A connection URL (or libpq's key=value text) with its password, and any parameter that may hold one, as ``***``.

    The password goes to the last ``@``: people leave ``/``, ``@``, ``#`` and spaces in it as they are.
    """
    masked = _QUERY_SECRET.sub(r"\1***", url)
    if not _password(url):
        return masked
    scheme, _, rest = masked.partition("//")
    info, _, tail = rest.rpartition("@")
    return f"{scheme}//{info.partition(':')[0]}:***@{tail}"


def mask(text: str, secrets: tuple[str, ...]) -> str:
    """``text`` without any of the given secrets, wherever they stand."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def secrets(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> tuple[str, ...]:
    """Every password and key that the environment and ``cruddur.toml`` hold, as written and decoded."""
    found: set[str] = set()
    environ = os.environ if environ is None else environ
    for name, value in environ.items():
        if any(part in name.upper() for part in ("SECRET", "TOKEN", "PASSWORD", "ACCESS_KEY")):
            found.add(value)
        else:
            found |= _secrets_in(value)
    try:
        written = _read_file(folder or _here())[1]
    except NotConfigured:
        written = {}
    for value in (*written.values(), *written.get("prod", {}).values()):
        if isinstance(value, str):
            found |= _secrets_in(value)
    # A shorter one would blot out half of every sentence, and neither it nor a word for an emulator guards anything.
    return tuple(secret for secret in found if len(secret) >= 4 and secret not in _DUMMIES)


def _secrets_in(value: str) -> set[str]:
    given = {found[2].strip("'") for found in _QUERY_SECRET.finditer(value)}
    password = _password(value)
    # postgres:postgres@ keeps nothing secret, and its name is in every message.
    if password and value.count(password) == 1:
        given.add(password)
    return given | {unquote(secret) for secret in given} | {quote(secret, safe="") for secret in given}


def _password(url: str) -> str:
    """The password in a URL as it is written; empty where there is none."""
    if "://" not in url:
        return ""
    return url.partition("//")[2].rpartition("@")[0].partition(":")[2]
