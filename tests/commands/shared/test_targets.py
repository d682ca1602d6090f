"""The store that the settings name: each row of the contract, with servers that record their requests."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cruddur_cli.aws import user_pool
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.commands.shared import connections, targets
from cruddur_cli.errors import CannotConnect, NotConfigured, NotFound, Protected
from cruddur_cli.local import addresses, stack
from cruddur_cli.postgres import database as database_verbs
from cruddur_cli.postgres import production_marker
from cruddur_cli.postgres.connection import Server
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


def test_dynamodbs_own_variable_overrides_the_general_one() -> None:
    s = settings(AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:1", AWS_ENDPOINT_URL="http://127.0.0.1:2")
    assert targets.message_endpoint(s).url == "http://127.0.0.1:1"
    assert targets.message_endpoint(settings(AWS_ENDPOINT_URL="http://127.0.0.1:2")).url == "http://127.0.0.1:2"


def test_a_dynamodb_that_answers_locally_is_used_before_the_embedded_one(embedded: Engines) -> None:
    with recorder("dynamodb") as (url, asked):
        at = targets.message_endpoint(settings(CRUDDUR_LOCAL_DYNAMODB=url))
        assert (at.url, at.embedded, asked) == (url, False, ["ListTables"])


def test_another_program_on_the_port_is_not_a_dynamodb(embedded: Engines) -> None:
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
def test_an_endpoint_that_is_not_a_url_is_named(url: str) -> None:
    with pytest.raises(NotConfigured, match="AWS_ENDPOINT_URL_DYNAMODB is not the URL"):
        targets.message_endpoint(settings(AWS_ENDPOINT_URL_DYNAMODB=url))


def test_a_compose_name_falls_back_to_localhost_and_the_label_shows_it(unresolved: None) -> None:
    at = targets.message_endpoint(settings(AWS_ENDPOINT_URL="http://dynamodb-local:8000"))
    assert at.url == "http://localhost:8000"
    assert at.label == (
        "DynamoDB at http://localhost:8000 (AWS_ENDPOINT_URL says dynamodb-local, which does not resolve here)"
    )
    server = targets.server(settings(CONNECTION_URL="postgresql://u:p@db:5432/cruddur"))
    assert (server.host, server.parameters["host"]) == ("localhost", "localhost")
    assert server.label.endswith("(CONNECTION_URL says db, which does not resolve here)")


def test_a_named_store_that_is_down_gets_a_hint_for_the_embedded_one() -> None:
    named = settings(AWS_ENDPOINT_URL="http://127.0.0.1:9", DATABASE_URL="postgresql://u:p@127.0.0.1:9/cruddur")
    with pytest.raises(CannotConnect) as caught, connections.dynamodb(named) as dynamodb:
        dynamodb.call("list_tables")
    assert caught.value.hint == "start the server, or `unset AWS_ENDPOINT_URL` to use the embedded engine"
    with pytest.raises(CannotConnect) as caught, connections.postgres(named):
        pass
    assert caught.value.hint == "start the server, or `unset DATABASE_URL` to use the embedded engine"


def test_the_hint_for_an_address_of_a_file_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "cruddur.toml").write_text('connection_url = "postgresql://u:p@127.0.0.1:9/cruddur"')
    with pytest.raises(CannotConnect) as caught, connections.postgres(load({}, environ={}, folder=tmp_path)):
        pass
    assert caught.value.hint == f"start the server, or change the address in {tmp_path / 'cruddur.toml'}"


def test_a_production_name_that_does_not_resolve_is_not_replaced(unresolved: None) -> None:
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


def test_a_named_pool_of_the_embedded_stack_is_used(embedded: Engines) -> None:
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
    """A service file that makes a database on AWS reachable at an address of this machine, as a tunnel does."""
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
        message = f"remote: database {name!r} on {RDS}:{parts.port} (at 127.0.0.1) as {parts.username}"
        assert ran.err.splitlines()[0] == message
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


# What is decided where the embedded stack is only said to be there.

HERE = "http://127.0.0.1:4566"
HERE_POSTGRES = "postgresql://cruddur:pw@127.0.0.1:5433/cruddur"
POOLS = {"us-east-1_demo": user_pool.DEMO_POOL, "us-east-1_own": "of a test"}


@pytest.fixture
def said_to_run(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, bool]]:
    """The engines that were asked for; both are said to run, with two pools."""
    asked: list[dict[str, bool]] = []

    def embedded(s: Settings, **which: bool) -> stack.Stack:
        asked.append(which)
        return stack.Stack(HERE_POSTGRES, HERE)

    monkeypatch.setattr(targets, "_embedded", embedded)
    monkeypatch.setattr(addresses, "is_aws", lambda url: url == HERE)
    monkeypatch.setattr(addresses, "is_postgres", lambda parameters: str(parameters.get("port")) == "5433")
    monkeypatch.setattr(user_pool, "pools", lambda client, at: POOLS)
    return asked


def with_options(options: dict[str, object], **environ: str) -> Settings:
    return load(options, environ={"CRUDDUR_LOCAL_DYNAMODB": NOWHERE, **environ}, folder=Path("/"))


def test_without_a_url_the_embedded_database_is_used_alone(said_to_run: list[dict[str, bool]]) -> None:
    at = targets.server(settings())
    assert said_to_run == [{"aws": False}]
    assert (at.host, at.port, at.database, at.user, at.embedded) == ("127.0.0.1", 5433, "cruddur", "cruddur", True)
    assert (at.label, at.advice, at.read_only) == ("database 'cruddur' on the embedded PostgreSQL", "", False)


def test_a_url_of_the_embedded_server_keeps_its_database_and_gets_its_password(
    said_to_run: list[dict[str, bool]],
) -> None:
    url = "postgresql://me:old@localhost:5433/mine?application_name=x"
    at = targets.server(settings(CONNECTION_URL=url))
    assert (at.host, at.database, at.user, at.embedded) == ("127.0.0.1", "mine", "me", True)
    assert (at.parameters["password"], at.parameters["application_name"]) == ("pw", "x")
    assert at.label == "database 'mine' on the embedded PostgreSQL"
    far = targets.server(settings(prod=True, PROD_CONNECTION_URL=url))
    assert (far.host, far.parameters["password"], far.embedded) == ("localhost", "old", False)


@pytest.mark.parametrize(
    ("url", "prod", "advice"),
    [
        ("postgresql://me@127.0.0.1:9/mine", False, "start the server, or `unset CONNECTION_URL` to use the embedded"),
        ("postgresql://me@127.0.0.1:9/mine", True, ""),
        ("postgresql://me@8.8.8.8:9/mine", False, ""),
        ("postgresql://me@localhost:9/mine?hostaddr=8.8.8.8", False, ""),
    ],
)
def test_only_a_database_of_this_network_may_be_left_for_the_embedded_one(
    said_to_run: list[dict[str, bool]], url: str, prod: bool, advice: str
) -> None:
    at = targets.server(with_options({"prod": prod}, **{"PROD_CONNECTION_URL" if prod else "CONNECTION_URL": url}))
    assert at.advice.startswith(advice)
    assert bool(at.advice) == bool(advice)
    assert (at.embedded, said_to_run) == (False, [])


def test_a_database_is_opened_as_the_options_say(said_to_run: list[dict[str, bool]]) -> None:
    at = targets.server(with_options({"dry_run": True, "wait_s": 7.0, "statement_timeout_s": 3.0}))
    assert (at.read_only, at.wait_s, at.statement_timeout_s) == (True, 7.0, 3.0)


@pytest.mark.parametrize(
    ("environ", "prod", "url", "region", "embedded"),
    [
        ({}, False, HERE, "us-east-1", True),
        ({"AWS_REGION": "eu-north-1"}, False, HERE, "us-east-1", True),
        ({"AWS_ENDPOINT_URL": HERE, "AWS_REGION": "eu-north-1"}, False, HERE, "us-east-1", True),
        ({"AWS_ENDPOINT_URL": NOWHERE}, False, NOWHERE, "us-east-1", False),
        ({"AWS_ENDPOINT_URL": NOWHERE, "AWS_REGION": "eu-north-1"}, False, NOWHERE, "eu-north-1", False),
        ({}, True, None, None, False),
        ({"AWS_REGION": "eu-north-1"}, True, None, "eu-north-1", False),
    ],
)
def test_the_region_of_a_local_engine_is_always_the_same_one(
    said_to_run: list[dict[str, bool]],
    environ: dict[str, str],
    prod: bool,
    url: str | None,
    region: str | None,
    embedded: bool,
) -> None:
    at = targets.message_endpoint(with_options({"prod": prod}, **environ))
    assert (at.url, at.region, at.embedded, at.own) == (url, region, embedded, prod)
    assert said_to_run == ([{"postgres": False}] if embedded else [])
    assert (at.label == "the embedded DynamoDB") is embedded


def test_a_dynamodb_is_read_and_waited_for_as_the_options_say(said_to_run: list[dict[str, bool]]) -> None:
    for wait_s, unreachable_s in ((0.0, aws_client.TIMEOUTS.unreachable), (60.0, 60.0)):
        for dry_run in (False, True):
            s = with_options({"wait_s": wait_s, "dry_run": dry_run}, AWS_ENDPOINT_URL=NOWHERE)
            at = targets.message_endpoint(s)
            assert (at.unreachable_s, at.read_only) == (unreachable_s, dry_run)
            s = with_options({"wait_s": wait_s, "dry_run": dry_run}, AWS_COGNITO_USER_POOL_ID="p")
            at = targets.pool_endpoint(s)
            assert (at.unreachable_s, at.read_only) == (unreachable_s, dry_run)


@pytest.mark.parametrize(
    ("environ", "advice"),
    [
        ({"AWS_ENDPOINT_URL": NOWHERE}, "start the server, or `unset AWS_ENDPOINT_URL` to use the embedded engine"),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://8.8.8.8:8000"}, ""),
        ({}, ""),
    ],
)
def test_only_a_dynamodb_of_this_network_may_be_left_for_the_embedded_one(
    said_to_run: list[dict[str, bool]], environ: dict[str, str], advice: str
) -> None:
    assert targets.message_endpoint(with_options({}, **environ)).advice == advice
    assert targets.message_endpoint(settings(prod=True)).advice == ""


def test_a_dynamodb_is_asked_only_on_this_machine_and_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with recorder("dynamodb") as (url, asked):
        assert targets.answers_as_dynamodb(url)
        assert asked == ["ListTables"]
    with recorder("nothing") as (url, asked):
        assert not targets.answers_as_dynamodb(url)
    monkeypatch.setattr(aws_client, "speaks", lambda *_: True)
    assert targets.answers_as_dynamodb(NOWHERE)
    for url in ("http://8.8.8.8:8000", "https://dynamodb.eu-west-1.amazonaws.com", "http://["):
        assert not targets.answers_as_dynamodb(url)

    def broken(*_: object) -> bool:
        raise CannotConnect("no answer")

    monkeypatch.setattr(aws_client, "speaks", broken)
    assert not targets.answers_as_dynamodb(NOWHERE)


@pytest.mark.parametrize(
    ("environ", "url", "label"),
    [
        ({}, HERE, "the embedded Cognito"),
        ({"AWS_COGNITO_USER_POOL_ID": "eu-west-1_p"}, None, "Cognito in eu-west-1"),
        ({"AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": NOWHERE}, NOWHERE, f"Cognito at {NOWHERE}"),
        ({"AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": HERE}, HERE, "the embedded Cognito"),
        (
            {"AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": HERE, "AWS_COGNITO_USER_POOL_ID": "us-east-1_demo"},
            HERE,
            "the embedded Cognito",
        ),
        (
            {"AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": HERE, "AWS_COGNITO_USER_POOL_ID": "us-east-1_own"},
            HERE,
            f"Cognito at {HERE}",
        ),
        ({"AWS_ENDPOINT_URL": HERE}, HERE, "the embedded Cognito"),
        ({"AWS_ENDPOINT_URL": HERE, "AWS_COGNITO_USER_POOL_ID": "us-east-1_demo"}, HERE, "the embedded Cognito"),
        ({"AWS_ENDPOINT_URL": HERE, "AWS_COGNITO_USER_POOL_ID": "us-east-1_own"}, HERE, f"Cognito at {HERE}"),
        ({"AWS_ENDPOINT_URL": HERE, "AWS_COGNITO_USER_POOL_ID": "eu-west-1_p"}, None, "Cognito in eu-west-1"),
        ({"AWS_ENDPOINT_URL": NOWHERE}, HERE, "the embedded Cognito"),
        ({"AWS_ENDPOINT_URL": NOWHERE, "AWS_COGNITO_USER_POOL_ID": "eu-west-1_p"}, None, "Cognito in eu-west-1"),
    ],
)
def test_where_the_user_pool_is(
    said_to_run: list[dict[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    url: str | None,
    label: str,
) -> None:
    monkeypatch.setattr(aws_client, "speaks", lambda *_: False)
    at = targets.pool_endpoint(with_options({}, **environ))
    assert (at.url, at.label) == (url, label)
    assert (at.embedded, at.own) == (label == "the embedded Cognito", False)


def test_a_pool_that_the_named_stack_does_not_have_is_an_error(
    said_to_run: list[dict[str, bool]],
) -> None:
    environ = {"AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": HERE, "AWS_COGNITO_USER_POOL_ID": "eu-west-1_gone"}
    with pytest.raises(NotFound, match=r"There is no user pool eu-west-1_gone in the embedded Cognito") as caught:
        targets.pool_endpoint(with_options({}, **environ))
    assert caught.value.code == "pool_not_found"
    assert targets.pool_endpoint_if_any(with_options({}, **environ)) == targets.pool_endpoint(settings())


def test_a_command_that_makes_the_demo_pool_goes_on_without_the_extra(
    said_to_run: list[dict[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, is_left_out in (
        (NotConfigured("no extra", code="no_extra"), True),
        (NotConfigured("no region", code="no_region"), False),
        (NotFound("no pool", code="something_else"), False),
    ):

        def failing(s: Settings, error: Exception = error) -> aws_client.Endpoint:
            raise error

        monkeypatch.setattr(targets, "pool_endpoint", failing)
        if is_left_out:
            assert targets.pool_endpoint_if_any(settings()) is None
        else:
            with pytest.raises(type(error)):
                targets.pool_endpoint_if_any(settings())


@pytest.mark.parametrize(
    ("pool", "region"), [("eu-west-1_p", "eu-west-1"), ("named", "eu-north-1"), ("", "eu-north-1")]
)
def test_the_region_of_a_pool_is_in_its_id(pool: str, region: str) -> None:
    s = settings(prod=True, AWS_COGNITO_USER_POOL_ID=pool, AWS_REGION="eu-north-1")
    assert targets.pool_endpoint(s).region == region
    assert targets.production_endpoint(s, "cognito-idp").region == region
    assert targets.production_endpoint(s, "rds").region == "eu-north-1"


def test_ec2_and_rds_are_at_aws_unless_their_own_setting_names_another_place(tmp_path: Path, unresolved: None) -> None:
    for service in ("ec2", "rds"):
        at = targets.account_endpoint(settings(AWS_ENDPOINT_URL=NOWHERE, AWS_REGION="eu-north-1"), service)
        assert (at.url, at.region, at.own, at.read_only) == (None, "eu-north-1", False, False)
        named = with_options({"dry_run": True}, **{f"AWS_ENDPOINT_URL_{service.upper()}": "http://account:5000"})
        at = targets.account_endpoint(named, service)
        assert (at.url, at.own, at.read_only) == ("http://localhost:5000", False, True)
        (tmp_path / "cruddur.toml").write_text(f'[prod]\n{service}_endpoint = "http://account:5000"\n')
        at = targets.account_endpoint(load({"prod": True}, environ={}, folder=tmp_path), service)
        assert (at.url, at.own) == ("http://account:5000", True)


def test_every_service_of_production_is_only_read() -> None:
    for service in ("dynamodb", "cognito-idp", "ec2", "rds", "cloudtrail"):
        at = targets.production_endpoint(settings(prod=True), service)
        assert (at.url, at.own, at.read_only, at.label) == (None, True, True, f"{service} at AWS")


@pytest.mark.parametrize(
    ("runs", "which", "engine"),
    [
        ((HERE_POSTGRES, HERE), {}, None),
        ((None, HERE), {}, "PostgreSQL"),
        ((HERE_POSTGRES, None), {}, "AWS"),
        ((None, HERE), {"postgres": False}, None),
        ((HERE_POSTGRES, None), {"aws": False}, None),
        ((None, None), {"postgres": False}, "AWS"),
    ],
)
def test_a_command_that_starts_nothing_names_the_engine_that_does_not_run(
    monkeypatch: pytest.MonkeyPatch, runs: tuple[str | None, str | None], which: dict[str, bool], engine: str | None
) -> None:
    monkeypatch.setattr(stack, "running", lambda **_: stack.Stack(*runs))
    s = with_options({"starts_engines": False})
    if engine is None:
        assert targets._embedded(s, **which) == stack.Stack(*runs)
        return
    with pytest.raises(CannotConnect, match=f"The embedded {engine} does not run") as caught:
        targets._embedded(s, **which)
    assert (caught.value.code, caught.value.fields) == ("engine_stopped", {"engine": engine})


def test_an_engine_that_is_started_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, object]] = []

    def up(*, wait_s: float, say: object, **which: bool) -> stack.Stack:
        asked.append((wait_s, which))
        return stack.Stack(None, HERE)

    monkeypatch.setattr(stack, "up", up)
    for wait_s in (0.0, 120.0):
        assert targets._embedded(with_options({"wait_s": wait_s}), postgres=False).aws_endpoint == HERE
    assert asked == [(stack.WAIT_S, {"postgres": False}), (120.0, {"postgres": False})]


@pytest.mark.parametrize(
    ("url", "embedded", "is_far"),
    [
        (None, False, True),
        ("http://8.8.8.8:8000", False, True),
        ("http://127.0.0.1:8000", False, False),
        ("http://127.0.0.1:8000", True, False),
        (None, True, False),
    ],
)
def test_which_services_are_far(url: str | None, embedded: bool, is_far: bool) -> None:
    assert targets.is_far(aws_client.Endpoint("dynamodb", url, "eu-west-1", embedded=embedded)) is is_far


@pytest.mark.parametrize(
    ("host", "embedded", "is_rds", "is_foreign"),
    [
        ("127.0.0.1", False, False, False),
        ("127.0.0.1", False, True, True),
        ("8.8.8.8", False, False, True),
        ("127.0.0.1", True, True, False),
    ],
)
def test_which_databases_are_foreign(
    monkeypatch: pytest.MonkeyPatch, host: str, embedded: bool, is_rds: bool, is_foreign: bool
) -> None:
    monkeypatch.setattr(targets, "_is_rds", lambda at: is_rds)
    at = replace(Server.at(f"postgresql://me@{host}/mine"), embedded=embedded)
    assert targets.is_foreign(at) is is_foreign


@pytest.mark.parametrize(
    ("host", "address", "is_remote"),
    [
        ("127.0.0.1", "", False),
        ("8.8.8.8", "", True),
        ("8.8.8.8", "127.0.0.1", False),
        ("127.0.0.1,8.8.8.8", "", True),
        ("8.8.8.8,8.8.4.4", "127.0.0.1,127.0.0.2", False),
        ("8.8.8.8,8.8.4.4", "127.0.0.1", True),
        ("8.8.8.8,8.8.4.4", "127.0.0.1,", True),
        ("127.0.0.1", "127.0.0.1,8.8.8.8", True),
        ("/run/postgresql", "", False),
        ("@abstract", "", False),
        (f"127.0.0.1,{RDS}", "127.0.0.1,127.0.0.2", True),
    ],
)
def test_each_host_is_judged_by_its_address_where_it_has_one(host: str, address: str, is_remote: bool) -> None:
    assert targets.is_remote(host, address) is is_remote


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("db", "localhost"),
        ("localhost", "localhost"),
        ("", ""),
        ("db.example", "db.example"),
        ("/run/postgresql", "/run/postgresql"),
        ("::1", "::1"),
        ("db,other", "db,other"),
    ],
)
def test_only_a_bare_name_that_does_not_resolve_becomes_this_machine(unresolved: None, host: str, found: str) -> None:
    assert targets.resolved(host) == found


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://db:8000/path", "http://localhost:8000/path"),
        ("https://db", "https://localhost"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/"),
    ],
)
def test_the_url_of_a_compose_service_keeps_its_port_and_path(unresolved: None, url: str, found: str) -> None:
    assert targets._local_url(url, "AWS_ENDPOINT_URL") == found
    for wrong in ("http://me@db:8000", "ftp://db", "http://", "db:8000"):
        with pytest.raises(NotConfigured, match="AWS_ENDPOINT_URL is not the URL of an endpoint"):
            targets._local_url(wrong, "AWS_ENDPOINT_URL")


def test_a_name_that_does_not_resolve_may_be_a_public_one(unresolved: None) -> None:
    assert targets.is_remote("db.example")


@pytest.mark.parametrize(("is_rds", "is_marked"), [(False, False), (True, False), (False, True), (True, True)])
def test_a_database_is_local_that_is_neither_on_rds_nor_marked(
    monkeypatch: pytest.MonkeyPatch, is_rds: bool, is_marked: bool
) -> None:
    conn: Any = None
    monkeypatch.setattr(database_verbs, "is_rds", lambda conn: is_rds)
    monkeypatch.setattr(production_marker, "is_production", lambda conn: is_marked)
    assert targets.is_local(conn) is (not is_rds and not is_marked)
