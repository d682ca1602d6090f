"""Which stores the settings name: the table of the contract, row by row, with servers that remember who asked."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cruddur_cli.aws import user_pool
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.commands.shared import connections, targets
from cruddur_cli.errors import CannotConnect, NotConfigured, Protected
from cruddur_cli.settings import Settings, load
from tests import dumps
from tests.commands.conftest import Here
from tests.conftest import NOWHERE, Engines
from tests.recorders import recorder

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
    assert targets.message_endpoint(s).url == "http://127.0.0.1:1"
    assert targets.message_endpoint(settings(AWS_ENDPOINT_URL="http://127.0.0.1:2")).url == "http://127.0.0.1:2"


def test_a_dynamodb_that_answers_locally_counts_before_the_embedded_one(embedded: Engines) -> None:
    with recorder("dynamodb") as (url, asked):
        at = targets.message_endpoint(settings(CRUDDUR_LOCAL_DYNAMODB=url))
        assert (at.url, at.embedded, asked) == (url, False, ["ListTables"])


def test_something_else_on_that_port_is_no_dynamodb(embedded: Engines) -> None:
    with recorder("nothing") as (url, asked):
        at = targets.message_endpoint(settings(CRUDDUR_LOCAL_DYNAMODB=url))
        assert (at.url, at.embedded, asked) == (embedded.aws, True, ["ListTables"])


def test_the_local_dynamodb_is_looked_for_on_port_8000() -> None:
    assert load({}, environ={}, folder=Path("/")).local_dynamodb == "http://localhost:8000"


def test_without_any_endpoint_it_is_the_embedded_one(embedded: Engines) -> None:
    at = targets.message_endpoint(settings(AWS_REGION="eu-north-1"))
    assert (at.url, at.embedded, at.region) == (embedded.aws, True, aws_client.LOCAL_REGION)


def test_production_is_aws_with_any_endpoint_variables() -> None:
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
        dynamodb, cognito = targets.message_endpoint(s), targets.pool_endpoint(s)
        assert (dynamodb.url, cognito.url) == (None, None)
        assert aws_client.open_client(dynamodb).meta.endpoint_url == "https://dynamodb.eu-north-1.amazonaws.com"
        # A pool's id says which region it is in.
        assert aws_client.open_client(cognito).meta.endpoint_url == "https://cognito-idp.eu-west-1.amazonaws.com"
        for service, url in (
            ("cognito-idp", "https://cognito-idp.eu-west-1.amazonaws.com"),
            ("rds", "https://rds.eu-north-1.amazonaws.com"),
            ("dynamodb", "https://dynamodb.eu-north-1.amazonaws.com"),
        ):
            with connections.reading(s, service) as (client, at):
                assert (client.meta.endpoint_url, at.label) == (url, f"{service} at AWS")


def test_only_the_prod_section_of_the_file_names_another_endpoint_for_production(tmp_path: Path) -> None:
    (tmp_path / "cruddur.toml").write_text(f'dynamodb_endpoint = "{NOWHERE}"\n')
    assert targets.message_endpoint(load({"prod": True}, environ={}, folder=tmp_path)).url is None
    (tmp_path / "cruddur.toml").write_text('[prod]\ndynamodb_endpoint = "https://vpce-1.example"\n')
    s = load({"prod": True}, environ={"AWS_REGION": "eu-north-1"}, folder=tmp_path)
    assert targets.message_endpoint(s).url == "https://vpce-1.example"
    with connections.reading(s, "dynamodb") as (client, at):
        assert (client.meta.endpoint_url, at.label) == ("https://vpce-1.example", "dynamodb at https://vpce-1.example")


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
        targets.message_endpoint(load({}, environ={variable: url}, folder=Path("/")))
    assert "--prod" in caught.value.message


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "http://[", "http://localhost:port"])
def test_an_endpoint_that_is_no_url_is_named(url: str) -> None:
    with pytest.raises(NotConfigured, match="AWS_ENDPOINT_URL_DYNAMODB is not the URL"):
        targets.message_endpoint(settings(AWS_ENDPOINT_URL_DYNAMODB=url))


def test_a_compose_name_falls_back_to_localhost_and_the_line_says_so(unresolved: None) -> None:
    at = targets.message_endpoint(settings(AWS_ENDPOINT_URL="http://dynamodb-local:8000"))
    assert at.url == "http://localhost:8000"
    assert at.label == (
        "DynamoDB at http://localhost:8000 (AWS_ENDPOINT_URL says dynamodb-local, which does not resolve here)"
    )
    server = targets.server(settings(CONNECTION_URL="postgresql://u:p@db:5432/cruddur"))
    assert (server.host, server.parameters["host"]) == ("localhost", "localhost")
    assert server.label.endswith("(CONNECTION_URL says db, which does not resolve here)")


def test_a_store_that_is_named_and_does_not_answer_may_be_left_for_the_embedded_one() -> None:
    named = settings(AWS_ENDPOINT_URL="http://127.0.0.1:9", DATABASE_URL="postgresql://u:p@127.0.0.1:9/cruddur")
    with pytest.raises(CannotConnect) as caught, connections.dynamodb(named) as dynamodb:
        dynamodb.call("list_tables")
    assert caught.value.hint == "start the server, or `unset AWS_ENDPOINT_URL` to use the embedded engine"
    with pytest.raises(CannotConnect) as caught, connections.postgres(named):
        pass
    assert caught.value.hint == "start the server, or `unset DATABASE_URL` to use the embedded engine"


def test_an_address_of_a_file_is_changed_there(tmp_path: Path) -> None:
    (tmp_path / "cruddur.toml").write_text('connection_url = "postgresql://u:p@127.0.0.1:9/cruddur"')
    with pytest.raises(CannotConnect) as caught, connections.postgres(load({}, environ={}, folder=tmp_path)):
        pass
    assert caught.value.hint == f"start the server, or change the address in {tmp_path / 'cruddur.toml'}"


def test_a_production_name_that_does_not_resolve_stays_what_it_is(unresolved: None) -> None:
    server = targets.server(settings(prod=True, PROD_CONNECTION_URL="postgresql://u:p@db:5432/cruddur"))
    assert (server.host, server.parameters["host"]) == ("db", "db")


def test_the_demo_pool_is_used_where_no_pool_is_configured(embedded: Engines) -> None:
    at = targets.pool_endpoint(settings())
    assert (at.url, at.embedded) == (embedded.aws, True)


def test_a_configured_pool_is_on_aws(embedded: Engines) -> None:
    at = targets.pool_endpoint(settings(AWS_COGNITO_USER_POOL_ID="ca-central-1_Pool"))
    assert (at.url, at.region) == (None, "ca-central-1")


def test_the_general_endpoint_counts_for_cognito_only_where_it_answers_as_cognito(embedded: Engines) -> None:
    with recorder("cognito") as (url, asked):
        assert targets.pool_endpoint(settings(AWS_ENDPOINT_URL=url)).url == url
        assert asked == ["ListUserPools"]
    with recorder("dynamodb") as (url, asked):
        pool = settings(AWS_ENDPOINT_URL=url, AWS_COGNITO_USER_POOL_ID="ca-central-1_Pool")
        assert targets.pool_endpoint(pool).url is None
        assert targets.pool_endpoint(settings(AWS_ENDPOINT_URL=url)).embedded
        assert asked == ["ListUserPools", "ListUserPools"]


def test_a_pool_of_the_embedded_stack_is_the_one_that_is_named(embedded: Engines) -> None:
    """And not the demo pool, which is taken where none is named."""
    at = targets.pool_endpoint(settings())
    with aws_client.opened(at) as client:
        demo = user_pool.find_pool(client, at, user_pool.DEMO_POOL)
        names = ["one", "another", *([] if demo else [user_pool.DEMO_POOL])]
        made = [client.create_user_pool(PoolName=name)["UserPool"]["Id"] for name in names]
        demo = demo or made[-1]
        try:
            for pool in {*made, demo}:
                s = settings(AWS_COGNITO_USER_POOL_ID=pool, AWS_ENDPOINT_URL=embedded.aws)
                assert targets.pool_endpoint(s).embedded is (pool == demo)
                with connections.cognito(s) as cognito:
                    assert (cognito.pool, cognito.at.url) == (pool, at.url)
        finally:
            for pool in made:
                client.delete_user_pool(UserPoolId=pool)


def test_cognitos_own_variable_counts_without_asking(embedded: Engines) -> None:
    s = settings(AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER=NOWHERE, AWS_COGNITO_USER_POOL_ID="ca-central-1_Pool")
    assert targets.pool_endpoint(s).url == NOWHERE


def test_a_host_of_aws_is_remote_and_a_private_address_is_not() -> None:
    for host in ("cruddur.abc.eu-central-1.RDS.amazonaws.com", "x.amazonaws.com.", "8.8.8.8", "2001:4860:4860::8888"):
        assert targets.is_remote(host)
    for host in ("127.0.0.1", "::1", "10.1.2.3", "172.20.0.5", "192.168.1.4", "/run/postgresql", ""):
        assert not targets.is_remote(host)


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


def test_a_service_the_url_and_the_variables_count_in_the_order_of_libpq(
    service: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(url: str) -> tuple[object, ...]:
        at = targets.server(settings(CONNECTION_URL=url))
        assert "Hidden1" not in repr(at) + at.label
        remote = targets.is_remote(at.host, at.address)
        return at.host, at.address, at.port, at.user, at.database, remote

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
def test_name_and_address_both_say_whether_a_database_is_remote(
    url: str, variable: str, foreign: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOSTADDR", variable)
    at = targets.server(settings(CONNECTION_URL=url))
    assert targets.is_remote(at.host, at.address) is foreign


def test_a_database_on_aws_reached_by_an_address_here_is_not_dropped_for_a_yes(
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
        assert f"pass --confirm {name}" in ran.err
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


@pytest.mark.parametrize("kind", ["role", "setting"])
def test_an_rds_behind_a_tunnel_on_localhost_counts_as_remote(
    here: Here, database: str, engines: Engines, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    import psycopg

    monkeypatch.setattr(targets, "_ASKED", {})
    assert here("db", "seed", "--dry-run").err.startswith("local: ")
    name = urlsplit(database).path.removeprefix("/")
    change = "CREATE ROLE rdsadmin" if kind == "role" else f"ALTER DATABASE {name} SET rds.extensions = 'x'"
    undo = "DROP ROLE rdsadmin" if kind == "role" else f"ALTER DATABASE {name} RESET ALL"
    with psycopg.connect(engines.database_url("postgres"), autocommit=True) as conn:
        conn.execute(change.encode())
        try:
            monkeypatch.setattr(targets, "_ASKED", {})
            ran = here("db", "drop", "--yes", "-q")
            assert ran.code == 6
            assert ran.err.startswith("remote: database ")
            assert f"--confirm {name}" in ran.err
        finally:
            conn.execute(undo.encode())


def test_the_names_of_every_partition_are_known() -> None:
    from botocore.loaders import Loader

    found = Loader().load_data("partitions")["partitions"]
    outputs = [partition["outputs"] for partition in found]
    names = {each[key] for each in outputs for key in ("dnsSuffix", "dualStackDnsSuffix") if each.get(key)}
    assert len(names) > 6
    assert [name for name in names if not targets.is_remote(f"dynamodb.some-region-1.{name}")] == []
    assert names <= set(targets.AWS_SUFFIXES)


@pytest.mark.parametrize(
    "variable",
    ["CRUDDUR_LOCAL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"],
)
@pytest.mark.parametrize("host", ["dynamodb.us-east-1.amazonaws.com", "DynamoDB.eusc-de-east-1.amazonaws.EU."])
def test_no_setting_leads_to_aws_without_prod(
    here: Here, monkeypatch: pytest.MonkeyPatch, variable: str, host: str
) -> None:
    for name in ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, f"https://{host}")
    ran = here("ddb", "list-tables")
    assert ran.code == 6
    assert "names AWS itself" in ran.err


def test_a_host_with_one_private_and_one_public_address_is_remote(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", (address, 0)) for address in ("10.0.0.7", "8.8.8.8")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert targets.is_remote("both.example")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found[:1])
    assert not targets.is_remote("private.example")
