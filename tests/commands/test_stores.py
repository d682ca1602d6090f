"""Which stores a command talks to: the table of the contract, row by row, with servers that remember who asked."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cruddur_cli import sdk
from cruddur_cli.commands import stores
from cruddur_cli.errors import NotConfigured, Protected
from cruddur_cli.settings import Settings, load
from tests import dumps
from tests.conftest import NOWHERE, Engines
from tests.recorders import recorder

from .conftest import Here

AWS = "https://dynamodb.eu-central-1.amazonaws.com"


@pytest.fixture
def embedded(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> Engines:
    """The shared stack as the embedded one of this process."""
    monkeypatch.setenv("CRUDDUR_HOME", engines.home)
    return engines


def settings(*, prod: bool = False, **environ: str) -> Settings:
    return load({"prod": prod}, environ={"CRUDDUR_LOCAL_DYNAMODB": NOWHERE, **environ}, folder=Path("/"))


def test_dynamodbs_own_variable_counts_before_the_general_one() -> None:
    s = settings(AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:1", AWS_ENDPOINT_URL="http://127.0.0.1:2")
    assert stores.message_endpoint(s).url == "http://127.0.0.1:1"
    assert stores.message_endpoint(settings(AWS_ENDPOINT_URL="http://127.0.0.1:2")).url == "http://127.0.0.1:2"


def test_a_dynamodb_that_answers_locally_counts_before_the_embedded_one(embedded: Engines) -> None:
    with recorder("dynamodb") as (url, asked):
        at = stores.message_endpoint(settings(CRUDDUR_LOCAL_DYNAMODB=url))
        assert (at.url, at.embedded, asked) == (url, False, ["ListTables"])


def test_something_else_on_that_port_is_no_dynamodb(embedded: Engines) -> None:
    with recorder("nothing") as (url, asked):
        at = stores.message_endpoint(settings(CRUDDUR_LOCAL_DYNAMODB=url))
        assert (at.url, at.embedded, asked) == (embedded.aws, True, ["ListTables"])


def test_the_local_dynamodb_is_looked_for_on_port_8000() -> None:
    assert load({}, environ={}, folder=Path("/")).local_dynamodb == "http://localhost:8000"


def test_without_any_endpoint_it_is_the_embedded_one(embedded: Engines) -> None:
    at = stores.message_endpoint(settings(AWS_REGION="eu-north-1"))
    assert (at.url, at.embedded, at.region) == (embedded.aws, True, sdk.LOCAL_REGION)


def test_a_command_asks_the_server_it_was_told_and_no_other(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    with recorder("dynamodb") as (named, asked), recorder("dynamodb") as (other, others):
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", named)
        monkeypatch.setenv("AWS_ENDPOINT_URL", other)
        monkeypatch.setenv("CRUDDUR_LOCAL_DYNAMODB", other)
        ran = here("ddb", "list-tables", "-o", "jsonl")
        assert ran.out == '{"table_name": "recorded"}\n'
        assert (asked, others) == (["ListTables"], [])


def test_production_is_aws_whatever_endpoint_variables_say() -> None:
    variables = (
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",
    )
    with pytest.MonkeyPatch.context() as patch:
        environ = dict.fromkeys(variables, NOWHERE) | {"AWS_REGION": "eu-north-1"}
        for name, value in environ.items():
            patch.setenv(name, value)
        s = settings(prod=True, AWS_COGNITO_USER_POOL_ID="eu-west-1_Pool", **environ)
        dynamodb, cognito = stores.message_endpoint(s), stores.pool_endpoint(s)
        assert (dynamodb.url, cognito.url) == (None, None)
        assert sdk.open_client(dynamodb).meta.endpoint_url == "https://dynamodb.eu-north-1.amazonaws.com"
        # A pool's id says which region it is in.
        assert sdk.open_client(cognito).meta.endpoint_url == "https://cognito-idp.eu-west-1.amazonaws.com"


def test_only_the_prod_section_of_the_file_names_another_endpoint_for_production(tmp_path: Path) -> None:
    (tmp_path / "cruddur.toml").write_text(f'dynamodb_endpoint = "{NOWHERE}"\n')
    assert stores.message_endpoint(load({"prod": True}, environ={}, folder=tmp_path)).url is None
    (tmp_path / "cruddur.toml").write_text('[prod]\ndynamodb_endpoint = "https://vpce-1.example"\n')
    assert stores.message_endpoint(load({"prod": True}, environ={}, folder=tmp_path)).url == "https://vpce-1.example"


def test_production_without_its_url_is_an_error_and_never_another_database(here: Here) -> None:
    for command in (["db", "ping"], ["db", "setup", "--confirm", "cruddur"], ["setup", "--yes"]):
        ran = here(*command, "--prod")
        assert ran.code == 3
        assert "PROD_CONNECTION_URL is not set" in ran.err


@pytest.mark.parametrize(
    "url", [AWS, "https://dynamodb.eu-west-1.api.aws", "https://DynamoDB.us-east-1.AMAZONAWS.com.", f"{AWS}:443/x"]
)
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"])
def test_a_local_variable_that_names_aws_is_refused(variable: str, url: str) -> None:
    with pytest.raises(Protected) as caught:
        stores.message_endpoint(load({}, environ={variable: url}, folder=Path("/")))
    assert "--prod" in caught.value.message


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "http://[", "http://localhost:port"])
def test_an_endpoint_that_is_no_url_is_named(url: str) -> None:
    with pytest.raises(NotConfigured, match="AWS_ENDPOINT_URL_DYNAMODB is not the URL"):
        stores.message_endpoint(settings(AWS_ENDPOINT_URL_DYNAMODB=url))


def test_a_compose_name_falls_back_to_localhost_and_the_line_says_so(unresolved: None) -> None:
    at = stores.message_endpoint(settings(AWS_ENDPOINT_URL="http://dynamodb-local:8000"))
    assert at.url == "http://localhost:8000"
    assert "http://localhost:8000" in at.label
    server = stores.server(settings(CONNECTION_URL="postgresql://u:p@db:5432/cruddur"))
    assert (server.host, server.parameters["host"]) == ("localhost", "localhost")
    assert server.label.endswith("(CONNECTION_URL says db, which does not resolve here)")


def test_a_production_name_that_does_not_resolve_stays_what_it_is(unresolved: None) -> None:
    server = stores.server(settings(prod=True, PROD_CONNECTION_URL="postgresql://u:p@db:5432/cruddur"))
    assert (server.host, server.parameters["host"]) == ("db", "db")


def test_the_demo_pool_is_used_where_no_pool_is_configured(embedded: Engines) -> None:
    at = stores.pool_endpoint(settings())
    assert (at.url, at.embedded) == (embedded.aws, True)


def test_a_configured_pool_is_on_aws(embedded: Engines) -> None:
    at = stores.pool_endpoint(settings(AWS_COGNITO_USER_POOL_ID="ca-central-1_Pool"))
    assert (at.url, at.region) == (None, "ca-central-1")


def test_the_general_endpoint_counts_for_cognito_only_where_it_answers_as_cognito(embedded: Engines) -> None:
    with recorder("cognito") as (url, asked):
        assert stores.pool_endpoint(settings(AWS_ENDPOINT_URL=url)).url == url
        assert asked == ["ListUserPools"]
    with recorder("dynamodb") as (url, asked):
        pool = settings(AWS_ENDPOINT_URL=url, AWS_COGNITO_USER_POOL_ID="ca-central-1_Pool")
        assert stores.pool_endpoint(pool).url is None
        assert stores.pool_endpoint(settings(AWS_ENDPOINT_URL=url)).embedded
        assert asked == ["ListUserPools", "ListUserPools"]


def test_cognitos_own_variable_counts_without_asking(embedded: Engines) -> None:
    s = settings(AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER=NOWHERE, AWS_COGNITO_USER_POOL_ID="ca-central-1_Pool")
    assert stores.pool_endpoint(s).url == NOWHERE


def test_a_host_of_aws_is_remote_and_a_private_address_is_not() -> None:
    for host in ("cruddur.abc.eu-central-1.RDS.amazonaws.com", "x.amazonaws.com.", "8.8.8.8", "2001:4860:4860::8888"):
        assert stores.is_remote(host)
    for host in ("127.0.0.1", "::1", "10.1.2.3", "172.20.0.5", "192.168.1.4", "/run/postgresql", ""):
        assert not stores.is_remote(host)


def test_seeding_a_remote_database_is_refused_before_it_is_reached(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTION_URL", "postgresql://u:p@cruddur.abc.eu-central-1.rds.amazonaws.com/cruddur")
    for command in (["db", "seed"], ["db", "setup"], ["setup"]):
        ran = here(*command)
        assert ran.code == 6
        assert "--confirm cruddur" in ran.err


RDS = "cruddur.abc.eu-central-1.rds.amazonaws.com"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service file that makes a database on AWS reachable at this machine's address, as a tunnel does."""
    file = tmp_path / "services.conf"
    file.write_text(f"[prod]\nhost={RDS}\nhostaddr=127.0.0.1\nport=5555\nuser=me\ndbname=svc\npassword=Hidden1\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))


def test_a_service_says_where_the_database_is_and_the_url_and_variables_count_in_libpqs_order(
    service: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(url: str) -> tuple[object, ...]:
        at = stores.server(settings(CONNECTION_URL=url))
        assert "Hidden1" not in repr(at) + at.label
        return at.host, at.address, at.port, at.user, at.database, stores.is_foreign(at)

    assert found("postgresql://?service=prod") == (RDS, "127.0.0.1", 5555, "me", "svc", True)
    assert found("postgresql://you@/mine?service=prod&port=7") == (RDS, "127.0.0.1", 7, "you", "mine", True)
    monkeypatch.setenv("PGPORT", "1234")
    monkeypatch.setenv("PGUSER", "somebody")
    monkeypatch.setenv("PGSERVICE", "prod")
    assert found("postgresql:///mine") == (RDS, "127.0.0.1", 5555, "me", "mine", True)
    monkeypatch.setenv("PGSERVICE", "prod-that-is-not-there")
    assert found("postgresql:///mine") == ("localhost", "", 1234, "somebody", "mine", False)


@pytest.mark.parametrize(
    ("url", "variable", "foreign"),
    [
        ("postgresql://u@localhost/d?hostaddr=8.8.8.8", "", True),
        ("postgresql://u@localhost/d", "8.8.8.8", True),
        ("postgresql://u@localhost/d?hostaddr=127.0.0.1", "8.8.8.8", False),
        (f"postgresql://u@{RDS}/d?hostaddr=127.0.0.1", "", True),
        (f"postgresql://u@{RDS}/d", "127.0.0.1", True),
        (f"postgresql://u@127.0.0.1,{RDS}/d", "", True),
        ("postgresql://u@127.0.0.1,10.0.0.1/d", "", False),
        ("postgresql:///d?hostaddr=127.0.0.1,8.8.8.8", "", True),
        ("postgresql://u@tunnel/d?hostaddr=127.0.0.1", "", False),
    ],
)
def test_name_and_address_both_say_whether_a_database_is_somebody_elses(
    url: str, variable: str, foreign: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOSTADDR", variable)
    assert stores.is_foreign(stores.server(settings(CONNECTION_URL=url))) is foreign


def test_a_database_on_aws_that_is_reached_by_an_address_here_is_not_dropped_for_a_yes(
    here: Here, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(database)
    name = parts.path.removeprefix("/")
    before = dumps.rows(database)
    (tmp_path / "home" / ".pg_service.conf").write_text(
        f"[prod]\nhost={RDS}\nhostaddr=127.0.0.1\nport={parts.port}\nuser={parts.username}\n"
        f"password={parts.password or ''}\ndbname={name}\n"
    )
    login = parts.netloc.rpartition("@")[0]
    urls = {
        "postgresql://?service=prod": "",
        f"postgresql:///{name}": "prod",
        f"postgresql://{login}@{RDS}:{parts.port}/{name}?hostaddr=127.0.0.1": "",
    }
    for url, chosen in urls.items():
        monkeypatch.setenv("CONNECTION_URL", url)
        monkeypatch.setenv("PGSERVICE", chosen)
        if not chosen:
            monkeypatch.delenv("PGSERVICE")
        ran = here("db", "drop", "--yes")
        assert ran.code == 6
        assert f"add --confirm {name}" in ran.err
        said = f"remote: database {name!r} on {RDS}:{parts.port} (at 127.0.0.1) as {parts.username}"
        assert ran.err.splitlines()[0] == said
        assert here("db", "ping").code == 0
    assert dumps.rows(database) == before


HOSTILE = {
    "PGSERVICE": "nowhere",
    "PGSSLMODE": "verify-full",
    "PGHOST": "10.255.255.1",
    "PGHOSTADDR": "10.255.255.1",
    "PGPORT": "1",
    "PGUSER": "somebody",
    "PGDATABASE": "elsewhere",
    "PGOPTIONS": "-c nonsense=1",
    "PGPASSWORD": "wrong-password",
    "AWS_PROFILE": "nope",
    "AWS_CONFIG_FILE": "/nonexistent/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
    "AWS_REGION": "mars-north-1",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_CA_BUNDLE": "/nonexistent/bundle",
    "HTTP_PROXY": NOWHERE,
    "http_proxy": NOWHERE,
    "ALL_PROXY": NOWHERE,
}


def test_hostile_variables_do_not_disturb_the_embedded_stack(
    here: Here, embedded: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CONNECTION_URL", "AWS_ENDPOINT_URL_DYNAMODB"):
        monkeypatch.delenv(name)
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    for command in (["setup"], ["ddb", "list-conversations"], ["cognito", "list-users"], ["db", "ping"]):
        ran = here(*command)
        assert ran.code == 0, ran.err
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOWHERE)  # no DynamoDB, but no Cognito either
    assert here("cognito", "list-users").code == 0
    assert here("ddb", "list-tables").code == 4
