"""Find out when the AWS credentials expire, from the environment and the files of ``~/.aws``. Sends no request."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
# Programs that write temporary keys into the credentials file also write one of these settings.
_EXPIRY_SETTINGS = ("x_security_token_expires", "aws_expiration", "expiration")


@dataclass(frozen=True)
class Expiry:
    """The time at which credentials expire (``at``), what they are, and the command that renews them."""

    what: str
    at: datetime
    remedy: str


def expiry() -> Expiry | None:
    """The expiry of the credentials that the SDK would use; None if it is unknown, or if the SDK renews them.

    As in the SDK, keys in the environment come before the profile.
    """
    if all(os.environ.get(name) for name in _KEYS):
        moment = _parsed(os.environ.get("AWS_CREDENTIAL_EXPIRATION"))
        return None if moment is None else Expiry("the credentials in the environment", moment, "aws sso login")
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    session = Session()
    try:
        config = session.full_config
    except BotoCoreError:
        return None
    profile = str(session.get_config_variable("profile") or "default")
    return _of_profile(config, profile, set())


def _of_profile(config: Mapping[str, Any], profile: str, visited: set[str]) -> Expiry | None:
    settings = config.get("profiles", {}).get(profile)
    if settings is None or profile in visited:
        return None
    if "sso_session" in settings or "sso_start_url" in settings:
        moment = _token_expiry(str(settings.get("sso_session") or settings.get("sso_start_url")))
        remedy = f"aws sso login --profile {profile}"
        return None if moment is None else Expiry(f"the SSO token of profile {profile}", moment, remedy)
    for name in _EXPIRY_SETTINGS:
        if (moment := _parsed(settings.get(name))) is not None:
            return Expiry(f"the credentials of profile {profile}", moment, f"aws sso login --profile {profile}")
    source = settings.get("source_profile")
    return _of_profile(config, str(source), {*visited, profile}) if source else None


def _token_expiry(name: str) -> datetime | None:
    """The time at which a token of the SSO cache expires; None if it is missing, or if the SDK renews it."""
    key = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    try:
        token = json.loads((Path.home() / ".aws" / "sso" / "cache" / f"{key}.json").read_text())
        is_renewed = {"refreshToken", "clientId", "registrationExpiresAt"} <= token.keys()
        return None if is_renewed else _parsed(token.get("expiresAt"))
    except (OSError, ValueError, AttributeError, RuntimeError):
        return None


def _parsed(text: object) -> datetime | None:
    from dateutil.parser import ParserError, parse

    try:
        moment = parse(str(text or "").replace("UTC", "Z"))
    except (ParserError, OverflowError, ValueError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
