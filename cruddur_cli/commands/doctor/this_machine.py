"""Reads the facts about this machine for ``doctor``: its settings, clock and embedded stack. Changes nothing."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from ... import settings
from ...aws_client import credentials
from ...errors import CruddurError
from ...integrity.model import Clock, Contradiction, Machine, Problem, Unresolved
from ...local import addresses, extra, home
from ...postgres import connection
from ...settings import Settings
from ..shared import targets

_ENGINES = {"PostgreSQL": "postgres", "AWS": "aws"}
# Settings whose value in cruddur.toml is hidden by a variable.
_HIDDEN = ("connection_url", "dynamodb_endpoint", "aws_endpoint", "table", "region", "user_pool_id")


def stopped_engines(stores: Iterable[object]) -> list[str]:
    """The embedded engines that are needed but not running, from the problems of the stores."""
    sentences = [store.sentence for store in stores if isinstance(store, Problem) and store.code == "engine_stopped"]
    return [name for name in _ENGINES if any(f"embedded {name} " in text for text in sentences)]


def read(s: Settings, stores: Mapping[str, object], *, clocks: Iterable[Clock]) -> Machine:
    """The facts about this machine; ``stores`` has for each store its facts, or a Problem."""
    stopped = stopped_engines(stores.values())
    home_variable = settings.given_environment().get("CRUDDUR_HOME", "")
    folder, problem = None, ""
    if not s.prod:
        try:
            folder = home.locate()
        except CruddurError as error:
            problem = error.message.rstrip(".")
    is_relative = bool(home_variable) and not s.prod and not Path(home_variable).expanduser().is_absolute()
    is_used = bool(stopped) or any(
        isinstance(store, Problem) and store.code == "state_directory" for store in stores.values()
    )
    if folder is not None and is_used:
        problem = home.problem(folder)
    missing = [name for name in extra.missing() if name in stopped]
    silent = [name for name in stopped if folder and home.is_held(folder / _ENGINES[name] / "alive")]
    unusable = {*missing, *silent}
    return Machine(
        contradictions=list(_contradictions(s)),
        folder=str((folder.resolve() if is_relative else folder) if folder else ""),
        free_bytes=_free(folder),
        python=tuple(sys.version_info[:3]),
        not_installed=missing,
        install=extra.install() if missing else "",
        silent=silent,
        taken_ports=dict(_taken(folder, [name for name in stopped if name not in unusable])) if folder else {},
        folder_problem=problem if is_used else "",
        folder_is_missing=folder is not None and settings.home() is not None and not folder.exists(),
        relative_folder=home_variable if is_relative else "",
        unresolved=list(_unresolved(s)),
        clocks=list(clocks),
        expiry=credentials.expiry() if _uses_aws(s) else None,
    )


def _free(folder: Path | None) -> int | None:
    """The free bytes on the disk of the embedded stack; None where there is no stack."""
    try:
        return shutil.disk_usage(folder).free if folder is not None and folder.is_dir() else None
    except OSError:
        return None


def _taken(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield each stopped engine whose port another program uses, with the port."""
    ports = home.read(folder / "ports.json")
    for name in names:
        port = ports.get(_ENGINES[name])
        if isinstance(port, int) and 0 < port < 65536:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                yield name, port


# Settings that contradict each other.


def _contradictions(s: Settings) -> Iterator[Contradiction]:
    environment = settings.given_environment()
    pairs = [("AWS_REGION", "AWS_DEFAULT_REGION", "")]
    if not s.prod:
        pairs.append(("CONNECTION_URL", "DATABASE_URL", ""))
        pairs.append(("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL", "for DynamoDB"))
        pairs.append(("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS", "for the stream too"))
    for used, other, remark in pairs:
        if environment.get(used) and environment.get(other) and _plain(environment[used]) != _plain(environment[other]):
            yield Contradiction(used, other, remark)
    with suppress(CruddurError):
        for variable, value, file_value, key in settings.overridden(s, _HIDDEN):
            if _plain(value) != _plain(file_value):
                yield Contradiction(variable, key)


def _plain(value: str) -> str:
    """A value in one form, so that different addresses of this machine compare as equal."""
    try:
        parts = urlsplit(value)
        if not parts.scheme or not parts.netloc:
            return value
        login, at, _ = parts.netloc.rpartition("@")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return value
    host = "localhost" if host in addresses.LOOPBACK else host
    scheme = "postgresql" if parts.scheme == "postgres" else parts.scheme
    return f"{scheme}://{login}{at}{host}:{port or ''}{parts.path.rstrip('/')}?{parts.query}"


# Hosts.


def _unresolved(s: Settings) -> Iterator[Unresolved]:
    addresses_ = [("postgres", "connection_url", s.connection_url)]
    if s.dynamodb_endpoint:
        addresses_.append(("dynamodb", "dynamodb_endpoint", s.dynamodb_endpoint))
    elif s.aws_endpoint and not s.prod:
        addresses_.append(("dynamodb", "aws_endpoint", s.aws_endpoint))
    if s.cognito_endpoint:
        addresses_.append(("cognito", "cognito_endpoint", s.cognito_endpoint))
    for store, setting, url in addresses_:
        for host in _hosts(store, url or "", s.origins[setting]):
            if not _resolves(host):
                used = host if s.prod else targets.resolved(host)
                yield Unresolved(s.origins[setting], host, store, used if used != host else "")


def _hosts(store: str, url: str, origin: str) -> list[str]:
    """The host names in an address that need a lookup; none where it cannot be parsed (another check reports it)."""
    try:
        if store == "postgres":
            parameters = connection.parse_url(url, origin=origin) if url else {}
            hosts = [] if parameters.get("hostaddr") else str(parameters.get("host") or "").split(",")
        else:
            hosts = [urlsplit(url).hostname or ""]
    except (CruddurError, ValueError):
        return []
    return [host for host in hosts if host and not host.startswith(("/", "@"))]


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return False
    return True


# Credentials.


def _uses_aws(s: Settings) -> bool:
    """Whether a store of this environment is in AWS."""
    if s.prod:
        return s.dynamodb_endpoint is None or (s.user_pool_id is not None and s.cognito_endpoint is None)
    if not s.user_pool_id or s.cognito_endpoint:
        return False
    try:
        return targets.pool_endpoint(s).url is None
    except CruddurError:
        return False
