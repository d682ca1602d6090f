"""``cruddur rds``: the real database instance, and the rule that lets this machine reach it."""

from __future__ import annotations

import getpass
import platform
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from .. import output
from ..aws import address, instance, security_group
from ..aws.address import Address
from ..aws.group_rules import EC2, PORT, Rule
from ..aws.instance import AVAILABLE, RDS, STOPPED, STOPPING, STUCK, Instance
from ..aws.service import Service
from ..errors import BadInput, Exit
from ..settings import Settings
from . import confirm, stores
from .options import command

app = typer.Typer()


def _option(flag: str, metavar: str, meaning: str) -> tuple[Any, Any]:
    return (Annotated[str | None, typer.Option(flag, metavar=metavar, help=meaning)], None)


_INSTANCE = {
    "db_instance": _option(
        "--instance", "NAME", "The database instance, else CRUDDUR_DB_INSTANCE, else the only PostgreSQL one."
    )
}
_RULE = {
    "security_group_id": _option("--group-id", "GROUP", "The security group, else DB_SG_ID; by name with --discover."),
    "security_group_rule_id": _option("--rule-id", "RULE", "The rule in it, else DB_SG_RULE_ID."),
    "address": _option(
        "--ip", "ADDRESS", "This machine's address, else GITPOD_IP, CODESPACES_IP, else asked of two services."
    ),
}


@command(app, shows=True, changes=True, also={**_RULE, **_INSTANCE})
def update_sg_rule(
    s: Settings,
    discover: Annotated[
        bool, typer.Option("--discover", help="Find group and rule by the database instance, or by the group's name.")
    ] = False,
    anywhere: Annotated[bool, typer.Option("--anywhere", help="Let the whole internet in.")] = False,
) -> None:
    """Point the inbound rule for PostgreSQL at this machine, and read it back. One that is right is left alone.

    cruddur rds update-sg-rule --discover --dry-run
    """
    here = _address(s, anywhere)
    with stores.ec2(s) as ec2:
        rule = _discover(s, ec2, here) if discover else security_group.find(ec2, **_named(s))
        stores.acting(
            s, f"rule {rule.rule_id} of security group {rule.group_id}, {_at(ec2)}", aws=stores.is_far(ec2.at)
        )
        if anywhere:
            output.warn(f"the whole internet may try to connect at tcp {PORT}")
        mark = security_group.mark(_user(), platform.node(), datetime.now(UTC))
        change = security_group.point(ec2, rule, address=here, description=mark)
    updated = int(change.result == "updated")
    output.show(s, [change], extra={"updated": updated, "unchanged": 1 - updated, "dry_run": s.dry_run})
    done = "would be updated: it would let in" if updated and s.dry_run else "lets in" if updated else "already lets in"
    output.note(s, f"{change.rule_id} {done} {change.after} ({here.origin})" + (f", not {change.before}" * updated))


@command(app, shows=True, waits=True, also=_INSTANCE)
def status(s: Settings) -> int:
    """Show the instance's state and endpoint. Exit code 1 unless it is available; --wait waits until it is.

    cruddur rds status --wait 600
    """
    with stores.rds(s) as rds:
        found = instance.find(rds, name=s.db_instance)
        found = _wait(s, rds, found, AVAILABLE, ends=(STOPPED, *STUCK))
    output.show(s, [found], draw=output.details)
    if found.status == STOPPED:
        output.note(s, f"{found.instance} is stopped: cruddur rds start --instance {found.instance} --wait 900")
    return Exit.DONE if found.status == AVAILABLE else Exit.NO


@command(app, shows=True, changes=True, waits=True, also=_INSTANCE)
def start(s: Settings) -> int:
    """Start the stopped instance. --wait SECONDS waits until it takes connections, which is minutes.

    cruddur rds start --wait 900
    """
    with stores.rds(s) as rds:
        before = instance.find(rds, name=s.db_instance)
        stores.acting(s, f"database instance {before.instance}, {_at(rds)}", aws=stores.is_far(rds.at))
        after = before if s.dry_run else instance.start(rds, before)
        is_idle = instance.runs(before)
        return _report(s, rds, before, after, goal=AVAILABLE, done="started", is_idle=is_idle)


@command(app, shows=True, changes=True, asks=True, waits=True, also=_INSTANCE)
def stop(s: Settings) -> int:
    """Stop the instance, once its name is typed. AWS starts it again by itself after seven days.

    cruddur rds stop --instance cruddur-db --confirm cruddur-db
    """
    with stores.rds(s) as rds:
        before = instance.find(rds, name=s.db_instance)
        stores.acting(s, f"database instance {before.instance}, {_at(rds)}", aws=stores.is_far(rds.at))
        is_idle = before.status in {STOPPED, STOPPING}
        after = before
        if not is_idle and not s.dry_run:
            sentence = f"Instance {before.instance} ({before.status}) will be stopped: every connection to it ends."
            confirm.agree(s, sentence, name=before.instance, remote=stores.is_far(rds.at))
            after = instance.stop(rds, before)
        return _report(s, rds, before, after, goal=STOPPED, done="stopped", is_idle=is_idle)


def _report(s: Settings, rds: RDS, before: Instance, after: Instance, *, goal: str, done: str, is_idle: bool) -> int:
    """Say what was done, wait where that is wanted, show; exit code 1 where the state is not reached in time."""
    if is_idle:
        output.note(s, f"{before.instance} is {before.status} already; nothing to do")
    elif s.dry_run:
        output.note(s, f"{before.instance} is {before.status}, and would be {done}")
    waits = s.wait_s > 0 and not s.dry_run
    after = _wait(s, rds, after, goal, ends=STUCK) if waits else after
    extra = {"updated": int(not is_idle), "unchanged": int(is_idle), "dry_run": s.dry_run}
    output.show(s, [after], draw=output.details, extra=extra)
    if goal == STOPPED and not s.dry_run:
        moment = f"at {after.restarts_at:%Y-%m-%d %H:%MZ}" if after.restarts_at else "seven days after it stopped"
        output.note(s, f"AWS starts {after.instance} again by itself {moment}; storage is paid for meanwhile.")
    if waits and after.status != goal:
        output.note(s, f"{after.instance} is {after.status}, not {goal}, after {s.wait_s:g} s: cruddur rds status")
        return Exit.NO
    return Exit.DONE


def _wait(s: Settings, rds: RDS, one: Instance, goal: str, *, ends: tuple[str, ...]) -> Instance:
    if not s.wait_s:
        return one
    return instance.wait(rds, one, goal=goal, wait_s=s.wait_s, ends=ends, say=lambda text: output.note(s, text))


def _address(s: Settings, anywhere: bool) -> Address:
    """The address to let in, known before anything is asked of AWS. Raises BadInput, NotConfigured, Protected, …"""
    origin = s.origins["address"]
    typed = origin == "--ip"
    if anywhere and not typed:
        return address.parse(address.EVERYWHERE, origin="--anywhere", anywhere=True)
    if s.address is None:
        urls = [url.strip() for url in s.address_services.split(",") if url.strip()]
        return address.detect(urls)
    found = address.parse(s.address, origin=origin, wider=typed, anywhere=anywhere)
    if anywhere and found.network not in {address.EVERYWHERE, "::/0"}:
        raise BadInput(f"--anywhere and --ip {s.address} contradict each other.", hint="leave one of them out")
    return found


def _named(s: Settings) -> dict[str, str | None]:
    return {"group_id": s.security_group_id, "rule_id": s.security_group_rule_id}


def _discover(s: Settings, ec2: EC2, here: Address) -> Rule:
    """The rule that is found by the group's name or by the instance. Ids in the environment may be the stale ones."""
    if s.origins["security_group_rule_id"] == "--rule-id":
        raise BadInput("--discover finds the rule, and --rule-id names one.", hint="leave one of them out")
    if s.security_group_id and s.origins["security_group_id"] == "--group-id":
        groups, where = security_group.groups_named(ec2, s.security_group_id), s.security_group_id
    else:
        with stores.rds(s) as rds:
            one = instance.find(rds, name=s.db_instance)
        groups, where = list(one.security_groups), f"database instance {one.instance}"
    rule = security_group.discover(ec2, group_ids=groups, address=here)
    output.note(s, f"found by {where}: export DB_SG_ID={rule.group_id} DB_SG_RULE_ID={rule.rule_id}")
    return rule


def _at(opened: Service) -> str:
    return f"{opened.at.label}" + (f", {opened.region}" if opened.region not in opened.at.label else "")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user that no file names
        return "unknown"
