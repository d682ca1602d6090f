"""Owns the settings of a command: each value with its origin: an option, a variable, ``cruddur.toml`` or a default."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import trust
from .errors import BadInput, NotConfigured

FILE_NAME = "cruddur.toml"
JOB_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable that names the file of a job's summary."""
RESERVED_NAMES = {"prod", "production"}
"""Names that no table may have: the scripts used these words for production."""
SEEDED_GROUP = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399"


@dataclass(frozen=True)
class KnownSetting:
    """One setting: its name, which is its key in ``cruddur.toml``; its variables and its option; and what it means."""

    name: str
    meaning: str
    variables: tuple[str, ...] = ()
    prod_variables: tuple[str, ...] | None = None  # None: the same as without --prod
    default: str | None = None
    otherwise: str = ""  # what is used where no value is set, as text for a person
    prod_otherwise: str | None = None  # None: the same as without --prod
    option: str | None = None
    per_environment: bool = False  # with --prod, a value outside [prod] is ignored
    is_address: bool = False  # a URL, which may contain a password
    section: str | None = None  # the only section of the file in which the key is allowed

    @property
    def key(self) -> str:
        """The key with its section, as ``cruddur.toml`` has it: ``[local] home``."""
        return f"[{self.section}] {self.name}" if self.section else self.name


KNOWN = (
    KnownSetting(
        "connection_url",
        "the URL of PostgreSQL",
        ("CONNECTION_URL", "DATABASE_URL"),
        ("PROD_CONNECTION_URL",),
        otherwise="the embedded PostgreSQL",
        prod_otherwise="an error, never another database",
        is_address=True,
        per_environment=True,
    ),
    KnownSetting(
        "table", "the name of the DynamoDB table", ("DDB_MESSAGE_TABLE",), default="cruddur-messages", option="--table"
    ),
    KnownSetting(
        "region",
        "the AWS region",
        ("AWS_REGION", "AWS_DEFAULT_REGION"),
        otherwise="the AWS profile's; us-east-1 if local",
    ),
    KnownSetting(
        "dynamodb_endpoint",
        "the endpoint of DynamoDB and Streams",
        ("AWS_ENDPOINT_URL_DYNAMODB",),
        (),
        otherwise="aws_endpoint, else a DynamoDB at local_dynamodb, else the embedded DynamoDB",
        prod_otherwise="AWS",
        is_address=True,
        per_environment=True,
    ),
    KnownSetting(
        "local_dynamodb",
        "the address of a local DynamoDB, used if no endpoint is set; not used with --prod",
        ("CRUDDUR_LOCAL_DYNAMODB",),
        default="http://localhost:8000",
        is_address=True,
        per_environment=True,
    ),
    KnownSetting(
        "aws_endpoint",
        "the endpoint of DynamoDB and Cognito; not used with --prod",
        ("AWS_ENDPOINT_URL",),
        (),
        otherwise="none",
        per_environment=True,
        is_address=True,
    ),
    KnownSetting(
        "cognito_endpoint",
        "the endpoint of Cognito",
        ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",),
        (),
        otherwise="AWS if user_pool_id is set, else the embedded Cognito",
        prod_otherwise="AWS",
        is_address=True,
        per_environment=True,
    ),
    KnownSetting(
        "user_pool_id",
        "the id of the Cognito user pool",
        ("AWS_COGNITO_USER_POOL_ID",),
        otherwise="the demo pool",
        prod_otherwise="an error if a command needs it",
    ),
    KnownSetting(
        "ec2_endpoint",
        "the endpoint of EC2, for the security group",
        ("AWS_ENDPOINT_URL_EC2",),
        (),
        otherwise="AWS",
        is_address=True,
        per_environment=True,
    ),
    KnownSetting(
        "rds_endpoint",
        "the endpoint of RDS, for the database instance",
        ("AWS_ENDPOINT_URL_RDS",),
        (),
        otherwise="AWS",
        is_address=True,
        per_environment=True,
    ),
    KnownSetting(
        "db_instance",
        "the name of the RDS database instance",
        ("CRUDDUR_DB_INSTANCE",),
        otherwise="the only PostgreSQL one",
        option="--instance",
    ),
    KnownSetting(
        "security_group_id",
        "the id of the database's security group",
        ("DB_SG_ID",),
        otherwise="the security group of the rule",
        option="--group-id",
    ),
    KnownSetting(
        "security_group_rule_id",
        "the id of the rule for this machine's address",
        ("DB_SG_RULE_ID",),
        otherwise="required unless you use --discover",
        option="--rule-id",
    ),
    KnownSetting(
        "address",
        "this machine's address",
        ("GITPOD_IP", "CODESPACES_IP"),
        otherwise="the address that address_services return",
        option="--ip",
    ),
    KnownSetting(
        "address_services",
        "web services that return this machine's address; all must return the same one",
        ("CRUDDUR_ADDRESS_SERVICES",),
        default="https://checkip.amazonaws.com,https://api.ipify.org",
    ),
    KnownSetting(
        "schema_file",
        "the schema file; a path is relative to cruddur.toml",
        ("CRUDDUR_SCHEMA_FILE",),
        otherwise="the checkout's schema.sql, else the built-in one",
        option="--file",
    ),
    KnownSetting(
        "seed_file",
        "the seed file, with users and activities; a path is relative to cruddur.toml",
        ("CRUDDUR_SEED_FILE",),
        otherwise="the checkout's seed.sql, else the built-in one",
        option="--file",
    ),
    KnownSetting(
        "migrations_dir",
        "the folder of the migrations; a path is relative to cruddur.toml",
        ("CRUDDUR_MIGRATIONS_DIR",),
        otherwise="the checkout's, else those beside the schema",
    ),
    KnownSetting("my_handle", "your handle", ("CRUDDUR_MY_HANDLE",), default="andrewbrown", option="--my-handle"),
    KnownSetting(
        "other_handle",
        "the handle of the other person in the seeded conversation",
        ("CRUDDUR_OTHER_HANDLE",),
        default="bayko",
        option="--other-handle",
    ),
    KnownSetting(
        "home",
        "the folder of the embedded engines; a path is relative to cruddur.toml",
        ("CRUDDUR_HOME",),
        otherwise="~/.local/share/cruddur",
        section="local",
    ),
)
_BY_NAME = {known.name: known for known in KNOWN}
_SECTIONS = {known.section for known in KNOWN if known.section}


@dataclass(frozen=True)
class Settings:
    """All settings of one command. ``origins`` has the origin of each value of ``KNOWN``, by name."""

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
    home: str | None
    origins: Mapping[str, str]
    file: Path | None = None
    prod: bool = False
    output: str = "table"
    svg: str | None = None
    summary: bool = False
    command: str = "cruddur"
    dry_run: bool = False
    yes: bool = False
    confirm: str | None = None
    quiet: bool = False
    debug: bool = False
    explain: bool = False
    max_units: float | None = None
    rate: float | None = None
    wait_s: float = 0
    statement_timeout_s: float | None = None
    starts_engines: bool = True  # False: an embedded engine that is not running is an error

    @property
    def table_option(self) -> str:
        """`` --table NAME`` where the table came from that option, else an empty text.

        A command that is printed for the reader to paste needs it to act on the same table.
        """
        import shlex

        return f" --table {shlex.quote(self.table)}" if self.origins["table"] == "--table" else ""

    @property
    def environment(self) -> str:
        """``production`` or ``local``: the environment of every store of this command."""
        return "production" if self.prod else "local"


def load(
    options: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """The settings of one command: option > environment > ``cruddur.toml`` (nearest, walking up) > default.

    Raises NotConfigured for a file that cannot be read, or that holds an unknown key or a value that is not a text.
    Raises BadInput for a ``--table`` that DynamoDB would refuse, or that is a word for production. A table name from a
    variable or a file is checked where it is used.
    """
    options = dict(options or {})
    environ = os.environ if environ is None else environ
    prod = bool(options.get("prod", False))
    if options.pop("trust", False):
        _trust(folder or _here())
    path, file_values = _read_file(folder or _here())
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for known in KNOWN:
        values[known.name], origins[known.name] = _resolve(known, options, environ, path, file_values, prod)
        options.pop(known.name, None)
    if origins["table"] == "--table":
        check_table_name(values["table"], origins["table"])
    return Settings(**values, **options, origins=origins, file=path)


def check_table_name(name: str, origin: str) -> None:
    """Check a table name: raise where DynamoDB would refuse it, or where it is a word for production.

    Raises BadInput for the name of an option, and NotConfigured for the name of a file or a variable.
    """
    kind = BadInput if origin == "option" or origin.startswith("--") else NotConfigured
    if name.lower() in RESERVED_NAMES:
        raise kind(
            f"{name!r} ({origin}) is the scripts' word for production, not a table name.",
            hint="name production with --prod",
        )
    # Naming rules for tables: "Naming rules in Amazon DynamoDB".
    if not re.fullmatch(r"[a-zA-Z0-9_.-]{3,255}", name):
        raise kind(f"{name!r} ({origin}) cannot be a table name: 3 to 255 letters, digits, '_', '-' and '.'.")


def overridden(s: Settings, names: Iterable[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield each setting whose variable hides a value of ``cruddur.toml``.

    Each is the variable, its value, the file's value and the file's key.

    Raises NotConfigured for a file that cannot be read.
    """
    _, file_values = _read_file(_here())
    for name in names:
        known, origin, value = _BY_NAME[name], s.origins[name], getattr(s, name)
        if origin not in {*known.variables, *(known.prod_variables or ())}:
            continue
        file_value, key = file_values.get("prod", {}).get(name) if s.prod else None, f"{name} in [prod] of cruddur.toml"
        if file_value is None and not (s.prod and known.per_environment):
            file_value, key = file_values.get(name), f"{name} in cruddur.toml"
        if file_value is not None:
            yield origin, str(value), str(file_value), key


def keep_environment() -> None:
    """Remember the environment of this process, because the program changes it to control colours."""
    _given.clear()
    _given.update(os.environ)


def given_environment() -> dict[str, str]:
    """The environment with which this process was started."""
    return dict(_given or os.environ)


def has_job_summary() -> bool:
    """Whether this process runs in a job that has a summary, such as a job of GitHub Actions."""
    return bool(given_environment().get(JOB_SUMMARY))


_given: dict[str, str] = {}


def home() -> Path | None:
    """The folder of the embedded stack, from ``CRUDDUR_HOME`` or ``cruddur.toml``; None where neither names one.

    Raises NotConfigured for a file that cannot be read or holds an unknown key.
    """
    if from_variable := os.environ.get("CRUDDUR_HOME"):
        return Path(from_variable).expanduser().absolute()
    path, file_values = _read_file(_here())
    from_file = file_values.get("local", {}).get("home")
    return Path(os.path.normpath(path.parent / Path(from_file).expanduser())) if path and from_file else None


def _resolve(
    known: KnownSetting,
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    path: Path | None,
    file_values: Mapping[str, Any],
    prod: bool,
) -> tuple[Any, str]:
    if options.get(known.name) is not None:
        return options[known.name], known.option or "option"
    variables = known.prod_variables if prod and known.prod_variables is not None else known.variables
    for variable in variables:
        if environ.get(variable):
            return environ[variable], variable
    if known.section:
        value = file_values.get(known.section, {}).get(known.name)
        return (value, f"{path}, [{known.section}]") if value is not None else (known.default, "default")
    if prod and known.name in file_values.get("prod", {}):
        return file_values["prod"][known.name], f"{path}, [prod]"
    if known.name in file_values and not (prod and known.per_environment):
        return file_values[known.name], str(path)
    return known.default, "default"


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # the folder was deleted under the shell
        return Path("/")


def _trust(folder: Path) -> None:
    """Trust the folder of the ``cruddur.toml`` that applies in ``folder``. Raises NotConfigured where there is none."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place / FILE_NAME):
            trust.add(place)
            return
    raise NotConfigured(f"There is no {FILE_NAME} in {folder} or above it, so there is no folder to trust.")


def _read_file(folder: Path) -> tuple[Path | None, dict[str, Any]]:
    for place in (folder, *folder.parents):
        path = place / FILE_NAME
        try:
            text = trust.read(path).decode("utf-8-sig")
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
            # TOML allows the line ends of Windows, but not a carriage return alone.
            file_values = tomllib.loads(text.replace("\r\n", "\n"))
        except tomllib.TOMLDecodeError as error:
            raise NotConfigured(f"{path} is not valid TOML: {error}.") from error
        except RecursionError as error:
            raise NotConfigured(f"{path} is not valid TOML: its brackets are nested too deeply.") from error
        _check_keys(path, file_values)
        return path, file_values
    return None, {}


def _check_keys(path: Path, file_values: Mapping[str, Any]) -> None:
    def keys() -> Iterator[tuple[str | None, str, Any]]:
        for name, value in file_values.items():
            if name in {"prod", *_SECTIONS} and isinstance(value, dict):
                yield from ((name, inner, inner_value) for inner, inner_value in value.items())
            else:
                yield None, name, value

    for section, name, value in keys():
        place = f"[{section}] " if section else ""
        known = [setting for setting in KNOWN if setting.section == (section if section in _SECTIONS else None)]
        if name not in {setting.name for setting in known}:
            import difflib

            misplaced = _BY_NAME.get(name)
            near = difflib.get_close_matches(name, [setting.name for setting in known])
            suggestion = misplaced.key if misplaced else near[0] if near else None
            keys_text = ", ".join(setting.key for setting in KNOWN)
            hint = f"Did you mean {suggestion!r}?" if suggestion else f"There are: {keys_text}."
            raise NotConfigured(f"{path} has an unknown key {place}{name!r}.", hint=hint)
        if not isinstance(value, str) or not value:
            wrong = "is empty: give it a value, or leave it out" if value == "" else "must be a string in quotes"
            raise NotConfigured(f"{path}: {place}{name} {wrong}.")


def secrets(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> tuple[str, ...]:
    """Every password and key in the environment and in ``cruddur.toml``, each as it is written and decoded."""
    from . import masking

    environ = os.environ if environ is None else environ
    try:
        file_values = _read_file(folder or _here())[1]
    except NotConfigured:
        file_values = {}
    values = [*environ.items(), *file_values.items(), *file_values.get("prod", {}).items()]
    pairs = ((name, value) for name, value in values if isinstance(value, str))
    return tuple({secret for name, value in pairs for secret in masking.secrets_of(name, value)})
