"""When the credentials for AWS expire, by what the environment and the files of a home say. Sends nothing."""

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
# Programs that write temporary keys into the credentials file write one of these beside them.
_WRITTEN = ("x_security_token_expires", "aws_expiration", "expiration")


@dataclass(frozen=True)
class Expiry:
    """When credentials expire, whose they are, and the command that renews them."""

    what: str
    at: datetime
    remedy: str


def expiry() -> Expiry | None:
    """When the credentials expire that the SDK would use; None where that is not known, or they are renewed.

    The order is that of the SDK: the keys in the environment, then the profile's.
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


def _of_profile(config: Mapping[str, Any], profile: str, passed: set[str]) -> Expiry | None:
    found = config.get("profiles", {}).get(profile)
    if found is None or profile in passed:
        return None
    if "sso_session" in found or "sso_start_url" in found:
        moment = _token(str(found.get("sso_session") or found.get("sso_start_url")))
        remedy = f"aws sso login --profile {profile}"
        return None if moment is None else Expiry(f"the SSO token of profile {profile}", moment, remedy)
    for name in _WRITTEN:
        if (moment := _parsed(found.get(name))) is not None:
            return Expiry(f"the credentials of profile {profile}", moment, f"aws sso login --profile {profile}")
    source = found.get("source_profile")
    return _of_profile(config, str(source), {*passed, profile}) if source else None


def _token(name: str) -> datetime | None:
    """When a token of the SSO cache expires; None for one that is missing, or that the SDK renews by itself."""
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
        found = parse(str(text or "").replace("UTC", "Z"))
    except (ParserError, OverflowError, ValueError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
