"""The expiry of credentials is read from the environment and the files of the home folder."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cruddur_cli.aws_client import credentials

END = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _config(text: str) -> None:
    (Path.home() / ".aws").mkdir(exist_ok=True)
    (Path.home() / ".aws" / "config").write_text(text)


def _token(name: str, **content: str) -> None:
    folder = Path.home() / ".aws" / "sso" / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    (folder / f"{key}.json").write_text(
        json.dumps({"accessToken": "x", "expiresAt": "2026-11-20T12:00:00Z", **content})
    )


def test_without_files_and_variables_nothing_is_known() -> None:
    assert credentials.expiry() is None


def test_a_variable_says_when_the_keys_in_the_environment_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert credentials.expiry() is None
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2026-11-20T13:00:00+01:00")
    found = credentials.expiry()
    assert found is not None
    assert found.at == END


def test_a_time_that_cannot_be_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "soon")
    assert credentials.expiry() is None


@pytest.mark.parametrize("written", ["2026-11-20T12:00:00Z", "2026-11-20T12:00:00UTC"])
def test_the_token_of_a_profile_by_its_start_url(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    _config("[profile dev]\nsso_start_url = https://example.awsapps.com/start\nsso_region = eu-central-1\n")
    _token("https://example.awsapps.com/start", expiresAt=written)
    monkeypatch.setenv("AWS_PROFILE", "dev")
    assert credentials.expiry() == credentials.Expiry(
        "the SSO token of profile dev", END, "aws sso login --profile dev"
    )


SESSION = "[default]\nsso_session = work\n[sso-session work]\nsso_start_url = https://example.awsapps.com/start\n"


def test_the_token_of_a_session_that_cannot_be_renewed() -> None:
    _config(SESSION)
    _token("work")
    found = credentials.expiry()
    assert found is not None
    assert (found.at, found.remedy) == (END, "aws sso login --profile default")


def test_a_token_that_the_sdk_renews_by_itself_does_not_expire() -> None:
    _config(SESSION)
    _token("work", refreshToken="r", clientId="c", registrationExpiresAt="2027-02-01T00:00:00Z")
    assert credentials.expiry() is None


def test_a_session_without_a_token_or_with_a_damaged_one_is_unknown() -> None:
    _config(SESSION)
    assert credentials.expiry() is None
    _token("work")
    next((Path.home() / ".aws" / "sso" / "cache").iterdir()).write_text("{")
    assert credentials.expiry() is None


def test_a_role_expires_with_the_profile_that_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    _config(SESSION + "[profile admin]\nrole_arn = arn:aws:iam::123456789012:role/admin\nsource_profile = default\n")
    _token("work")
    monkeypatch.setenv("AWS_PROFILE", "admin")
    found = credentials.expiry()
    assert found is not None
    assert found.what == "the SSO token of profile default"


def test_profiles_that_name_each_other_give_no_expiry() -> None:
    _config("[default]\nsource_profile = other\n[profile other]\nsource_profile = default\n")
    assert credentials.expiry() is None


def test_the_expiry_that_another_program_wrote_beside_the_keys_is_read() -> None:
    (Path.home() / ".aws").mkdir()
    (Path.home() / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = k\naws_secret_access_key = s\nx_security_token_expires = 2026-11-20T12:00:00Z\n"
    )
    found = credentials.expiry()
    assert found is not None
    assert (found.what, found.at) == ("the credentials of profile default", END)


def test_a_profile_that_does_not_exist_is_left_to_the_stores_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")
    assert credentials.expiry() is None
