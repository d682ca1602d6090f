"""The origin of each setting, the content that a file may have, and that no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from cruddur_cli import settings
from cruddur_cli.errors import BadInput, NotConfigured
from cruddur_cli.settings import load, secrets


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cruddur.toml"
    path.write_bytes(text.encode())
    return path


def test_an_option_beats_the_environment_then_the_file_then_the_default(tmp_path: Path) -> None:
    environ = {"DDB_MESSAGE_TABLE": "from-environment"}
    default = load(environ={}, folder=tmp_path)
    path = write(tmp_path, 'table = "from-file"')
    file = load(environ={}, folder=tmp_path)
    variable = load(environ=environ, folder=tmp_path)
    option = load({"table": "from-option"}, environ=environ, folder=tmp_path)
    assert [(s.table, s.origins["table"]) for s in (default, file, variable, option)] == [
        ("cruddur-messages", "default"),
        ("from-file", str(path)),
        ("from-environment", "DDB_MESSAGE_TABLE"),
        ("from-option", "--table"),
    ]


def test_only_the_nearest_file_is_used(tmp_path: Path) -> None:
    write(tmp_path, 'table = "far-away"\nregion = "eu-west-1"')
    near = write(tmp_path / "a", 'table = "near-by"')
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    s = load(environ={}, folder=tmp_path / "a" / "b" / "c")
    assert (s.table, s.region, s.file) == ("near-by", None, near)


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    environ = {"CONNECTION_URL": "", "DATABASE_URL": "postgresql://h/d", "DDB_MESSAGE_TABLE": "", "AWS_REGION": ""}
    s = load(environ=environ, folder=tmp_path)
    assert (s.connection_url, s.origins["connection_url"]) == ("postgresql://h/d", "DATABASE_URL")
    assert (s.table, s.region) == ("cruddur-messages", None)


def test_aws_region_counts_before_aws_default_region(tmp_path: Path) -> None:
    both = {"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "us-west-2"}
    assert load(environ=both, folder=tmp_path).region == "eu-north-1"
    assert load(environ={"AWS_DEFAULT_REGION": "us-west-2"}, folder=tmp_path).region == "us-west-2"


def test_connection_url_counts_before_database_url(tmp_path: Path) -> None:
    environ = {"CONNECTION_URL": "postgresql://a/d", "DATABASE_URL": "postgresql://b/d"}
    assert load(environ=environ, folder=tmp_path).connection_url == "postgresql://a/d"


def test_production_takes_nothing_that_was_set_for_the_local_stores(tmp_path: Path) -> None:
    write(tmp_path, 'connection_url = "postgresql://local/d"\ndynamodb_endpoint = "http://localhost:8000"')
    environ = {
        "CONNECTION_URL": "postgresql://local/d",
        "DATABASE_URL": "postgresql://local/d",
        "AWS_ENDPOINT_URL": "http://localhost:8000",
        "AWS_ENDPOINT_URL_DYNAMODB": "http://localhost:8000",
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": "http://localhost:8000",
    }
    s = load({"prod": True}, environ=environ, folder=tmp_path)
    assert (s.connection_url, s.dynamodb_endpoint, s.aws_endpoint, s.cognito_endpoint) == (None, None, None, None)


ADDRESSES = {
    "connection_url": "CONNECTION_URL",
    "dynamodb_endpoint": "AWS_ENDPOINT_URL_DYNAMODB",
    "aws_endpoint": "AWS_ENDPOINT_URL",
    "cognito_endpoint": "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",
    "ec2_endpoint": "AWS_ENDPOINT_URL_EC2",
    "rds_endpoint": "AWS_ENDPOINT_URL_RDS",
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_each_address_counts_locally_and_in_production_only_from_its_section(tmp_path: Path, name: str) -> None:
    local, far = "postgresql://local/d", "postgresql://far/d"
    path = write(tmp_path, f'{name} = "{local}"')
    assert getattr(load(environ={}, folder=tmp_path), name) == local
    assert getattr(load(environ={ADDRESSES[name]: far}, folder=tmp_path), name) == far
    assert getattr(load({"prod": True}, environ={}, folder=tmp_path), name) is None
    assert getattr(load({"prod": True}, environ={ADDRESSES[name]: local}, folder=tmp_path), name) is None
    path.write_text(f'{name} = "{local}"\n[prod]\n{name} = "{far}"')
    assert getattr(load({"prod": True}, environ={ADDRESSES[name]: local}, folder=tmp_path), name) == far


def test_the_prod_section_counts_only_with_prod_and_before_the_rest_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, 'table = "here"\n[prod]\ntable = "there"\ndynamodb_endpoint = "https://vpce.example"')
    assert load(environ={}, folder=tmp_path).table == "here"
    s = load({"prod": True}, environ={"PROD_CONNECTION_URL": "postgresql://p/d"}, folder=tmp_path)
    assert (s.table, s.origins["table"]) == ("there", f"{path}, [prod]")
    assert (s.dynamodb_endpoint, s.connection_url) == ("https://vpce.example", "postgresql://p/d")
    assert load({"prod": True}, environ={"DDB_MESSAGE_TABLE": "named"}, folder=tmp_path).table == "named"


@pytest.mark.parametrize("section", ["", "[prod]\n"])
def test_an_unknown_key_is_refused_with_the_nearest_one(tmp_path: Path, section: str) -> None:
    write(tmp_path, f'{section}my_handel = "londo"')
    with pytest.raises(NotConfigured) as caught:
        load(environ={}, folder=tmp_path)
    assert "'my_handel'" in caught.value.message
    assert caught.value.hint == "Did you mean 'my_handle'?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("table = ", "not valid TOML"),
        ("table = 5", "table must be a string in quotes"),
        ('table = ""', "table is empty: give it a value, or leave it out"),
        ('prod = "yes"', "unknown key 'prod'"),
    ],
)
def test_a_file_with_invalid_content_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(NotConfigured) as caught:
        load(environ={}, folder=tmp_path)
    assert said in caught.value.message
    assert str(path) in caught.value.message


def test_a_path_that_is_not_a_text_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cruddur.toml").write_bytes(b'table = "caf\xe9"')
    with pytest.raises(NotConfigured, match="not UTF-8"):
        load(environ={}, folder=tmp_path)
    (tmp_path / "cruddur.toml").unlink()
    (tmp_path / "cruddur.toml").mkdir()
    with pytest.raises(NotConfigured, match="not a regular file"):
        load(environ={}, folder=tmp_path)


def test_windows_line_ends_and_a_byte_order_mark_are_no_error(tmp_path: Path) -> None:
    write(tmp_path, '\ufefftable = "from-file"\r\nmy_handle = "londo"\r\n')
    s = load(environ={}, folder=tmp_path)
    assert (s.table, s.my_handle) == ("from-file", "londo")


@pytest.mark.parametrize("name", ["prod", "PROD", "production"])
def test_the_scripts_word_for_production_is_not_a_table(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput) as caught:
        load({"table": name}, environ={}, folder=tmp_path)
    assert "--prod" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["ab", "a table", "x" * 256, "tablé", ""])
def test_a_table_name_that_dynamodb_would_refuse_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput):
        load({"table": name}, environ={}, folder=tmp_path)


def test_a_table_name_of_a_file_or_variable_is_checked_by_the_commands(tmp_path: Path) -> None:
    write(tmp_path, 'table = "tt"')
    s = load(environ={}, folder=tmp_path)
    with pytest.raises(NotConfigured, match=r"'tt'.*cruddur\.toml"):
        settings.check_table_name(s.table, s.origins["table"])


def test_every_secret_of_the_environment_and_the_file_is_known(tmp_path: Path) -> None:
    write(
        tmp_path,
        'connection_url = "postgresql://u:from-file1@h/d"\n[prod]\nconnection_url = "postgresql://u:a%20b%21@h/d"',
    )
    environ = {
        "CONNECTION_URL": "postgresql://u:in/the@url@h/d",
        "AWS_SECRET_ACCESS_KEY": "wJalr",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SESSION_TOKEN": "session+token",
        "PGPASSWORD": "pgpass1",
        "HARMLESS": "http://localhost:8000",
    }
    found = {"from-file1", "a%20b%21", "a b!", "in/the@url", "wJalr", "AKIAEXAMPLE", "session+token", "pgpass1"}
    assert found <= set(secrets(environ, tmp_path))
    write(tmp_path / "other", 'connection_url = "postgresql://u:of-another1@h/d"')
    assert "of-another1" in secrets({}, tmp_path / "other")


@pytest.mark.parametrize("name", ["abc", "cruddur-messages", "A_b.9", "x" * 255])
def test_a_table_name_that_dynamodb_accepts_is_accepted(name: str) -> None:
    settings.check_table_name(name, "--table")


@pytest.mark.parametrize("name", ["", "ab", "x" * 256, "two words", "grün", "prod", "Production"])
def test_a_wrong_table_name_is_bad_input_for_an_option_else_not_configured(name: str) -> None:
    with pytest.raises(BadInput):
        settings.check_table_name(name, "--table")
    with pytest.raises(NotConfigured):
        settings.check_table_name(name, "DDB_MESSAGE_TABLE")


def test_a_variable_that_hides_a_value_of_the_file_is_listed_with_both_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cruddur.toml").write_text('region = "of-the-file"\n')
    monkeypatch.chdir(tmp_path)
    told = [("AWS_REGION", "of-the-variable", "of-the-file", "region in cruddur.toml")]
    assert list(settings.overridden(load({}, environ={"AWS_REGION": "of-the-variable"}), ["region"])) == told
    assert list(settings.overridden(load({}, environ={}), ["region", "table"])) == []
    (tmp_path / "cruddur.toml").write_text("")
    assert list(settings.overridden(load({}, environ={"AWS_REGION": "of-the-variable"}), ["region"])) == []


def test_without_options_a_command_is_local_and_asks_and_changes_and_prints(tmp_path: Path) -> None:
    s = load(environ={}, folder=tmp_path)
    flags = (s.prod, s.dry_run, s.yes, s.quiet, s.debug, s.explain, s.summary, s.starts_engines)
    assert flags == (False, False, False, False, False, False, False, True)
    assert (s.environment, s.output, s.wait_s, s.confirm, s.max_units) == ("local", "table", 0, None, None)
    assert load({"prod": True}, environ={}, folder=tmp_path).environment == "production"


def test_each_setting_that_holds_an_address_is_known_as_one() -> None:
    addresses = {known.name for known in settings.KNOWN if known.is_address}
    assert addresses == {*ADDRESSES, "local_dynamodb"}


def test_in_production_the_file_gives_no_local_address(tmp_path: Path) -> None:
    write(tmp_path, 'table = "from-file"\nregion = "eu-west-1"\nlocal_dynamodb = "http://localhost:8001"')
    for prod, local_dynamodb in ((False, "http://localhost:8001"), (True, "http://localhost:8000")):
        s = load({"prod": prod}, environ={}, folder=tmp_path)
        assert (s.table, s.region, s.local_dynamodb) == ("from-file", "eu-west-1", local_dynamodb)


@pytest.mark.parametrize("prod", [False, True])
def test_the_folder_of_the_embedded_stack_stands_in_its_own_section(tmp_path: Path, prod: bool) -> None:
    assert load({"prod": prod}, environ={}, folder=tmp_path).origins["home"] == "default"
    path = write(tmp_path, '[local]\nhome = "stack"')
    s = load({"prod": prod}, environ={}, folder=tmp_path)
    assert (s.home, s.origins["home"]) == ("stack", f"{path}, [local]")


def test_home_is_the_variable_s_or_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert settings.home() is None
    path = write(tmp_path / "a", 'region = "eu-west-1"')
    assert settings.home() is None
    folders = {"../stack": tmp_path / "stack", "/elsewhere": Path("/elsewhere"), "~/s": Path.home() / "s"}
    for written, found in folders.items():
        path.write_text(f'[local]\nhome = "{written}"')
        assert settings.home() == found
    monkeypatch.setenv("CRUDDUR_HOME", "here")
    assert settings.home() == below / "here"


def test_a_command_to_paste_names_the_table_that_was_typed_and_no_other(tmp_path: Path) -> None:
    assert load({"table": "my-table"}, environ={}, folder=tmp_path).table_option == " --table my-table"
    assert load(environ={"DDB_MESSAGE_TABLE": "my-table"}, folder=tmp_path).table_option == ""


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('home = "x"', "Did you mean '[local] home'?"),
        ('[local]\ntable = "t"', "Did you mean 'table'?"),
        ('[local]\nhom = "x"', "Did you mean 'home'?"),
        ('[prod]\nhome = "x"', "Did you mean '[local] home'?"),
        ('zzzz = "x"', "There are: connection_url, table, region, "),
    ],
)
def test_an_unknown_key_gets_a_hint_with_the_right_section(tmp_path: Path, text: str, hint: str) -> None:
    write(tmp_path, text)
    with pytest.raises(NotConfigured) as caught:
        load(environ={}, folder=tmp_path)
    assert str(caught.value.hint).startswith(hint)


def test_the_byte_that_is_not_utf_8_is_counted_from_one(tmp_path: Path) -> None:
    (tmp_path / "cruddur.toml").write_bytes(b"a\xe9")
    with pytest.raises(NotConfigured, match=r"is not UTF-8 text \(byte 2\)"):
        load(environ={}, folder=tmp_path)


IN_PROD = '[prod]\nconnection_url = "postgresql://a/d"'


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ('connection_url = "postgresql://a/d"', []),
        (IN_PROD, [("postgresql://a/d", "connection_url in [prod] of cruddur.toml")]),
    ],
)
def test_a_variable_of_production_hides_only_the_address_in_prod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, told: list[tuple[str, str]]
) -> None:
    write(tmp_path, file)
    monkeypatch.chdir(tmp_path)
    s = load({"prod": True}, environ={"PROD_CONNECTION_URL": "postgresql://b/d"})
    found = list(settings.overridden(s, ["connection_url", "table"]))
    assert found == [("PROD_CONNECTION_URL", "postgresql://b/d", *one) for one in told]


def test_a_variable_hides_the_value_in_prod_first_and_then_the_one_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"AWS_REGION": "mine"}

    def found(text: str, *, prod: bool) -> list[tuple[str, str]]:
        write(tmp_path, text)
        return [one[2:] for one in settings.overridden(load({"prod": prod}, environ=environ), ["region"])]

    both = 'region = "below"\n[prod]\nregion = "inside"'
    assert found(both, prod=True) == [("inside", "region in [prod] of cruddur.toml")]
    assert found(both, prod=False) == [("below", "region in cruddur.toml")]
    assert found('region = "below"', prod=True) == [("below", "region in cruddur.toml")]


def test_an_option_hides_nothing_of_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 'table = "of-the-file"')
    monkeypatch.chdir(tmp_path)
    assert list(settings.overridden(load({"table": "typed"}, environ={}), ["table"])) == []


def test_the_environment_is_the_one_that_the_program_was_started_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_given", {})
    assert not settings.has_job_summary()
    monkeypatch.setenv(settings.JOB_SUMMARY, "/summary")
    assert settings.has_job_summary()
    settings.keep_environment()
    monkeypatch.delenv(settings.JOB_SUMMARY)
    monkeypatch.setenv("AFTER", "1")
    assert settings.has_job_summary()
    assert "AFTER" not in settings.given_environment()
    settings.keep_environment()
    assert not settings.has_job_summary()


def test_the_folder_that_is_trusted_is_that_of_the_nearest_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted: list[Path] = []
    monkeypatch.setattr("cruddur_cli.trust.add", trusted.append)
    with pytest.raises(NotConfigured, match=r"There is no cruddur\.toml in "):
        load({"trust": True}, environ={}, folder=tmp_path)
    write(tmp_path / "a", "")
    (tmp_path / "a" / "b").mkdir()
    assert load({"trust": True}, environ={}, folder=tmp_path / "a" / "b").file == tmp_path / "a" / "cruddur.toml"
    assert trusted == [tmp_path / "a"]
    load({"trust": False}, environ={}, folder=tmp_path / "a")
    assert len(trusted) == 1


def test_the_secrets_of_the_environment_are_known_though_the_file_cannot_be_used(tmp_path: Path) -> None:
    write(tmp_path, "table = 5")
    assert secrets({"PGPASSWORD": "pgpass1"}, tmp_path) == ("pgpass1",)


def test_without_a_folder_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert load(environ={}).file is None
