"""``cruddur rds``: manages the AWS database instance, and the security group rule that allows this machine."""

from __future__ import annotations

import getpass
import platform
import re
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import output, times
from ..errors import BadInput, CruddurError, Exit, NotConfigured
from ..output.text import counted
from ..settings import Settings
from .shared.options import LONGEST_S, Wait, command, seconds

if TYPE_CHECKING:
    from ..aws.address import Address
    from ..aws.group_rules import EC2, Rule
    from ..aws.instance import RDS, Instance
    from ..aws.service import Service


def _option(flag: str, metavar: str, meaning: str) -> tuple[Any, Any]:
    return (Annotated[str | None, typer.Option(flag, metavar=metavar, help=meaning)], None)


def _wait_until(state: str) -> dict[str, tuple[Any, Any]]:
    meaning = f"Wait at most this long until the instance is {state}."
    return {
        "wait_s": (
            Annotated[float, typer.Option("--wait", metavar="SECONDS", min=0, callback=seconds, help=meaning)],
            0.0,
        )
    }


_INSTANCE = {
    "db_instance": _option(
        "--instance", "NAME", "The database instance. Default: $CRUDDUR_DB_INSTANCE, or the only PostgreSQL one."
    )
}
_RULE = {
    "security_group_id": _option(
        "--group-id", "GROUP", "Security group id. Default: $DB_SG_ID. With --discover it can be the group's name."
    ),
    "security_group_rule_id": _option("--rule-id", "RULE", "Id of the rule in the group. Default: $DB_SG_RULE_ID."),
    "address": _option(
        "--ip",
        "ADDRESS",
        "Allow this address or network. Default: this machine's, from $GITPOD_IP, $CODESPACES_IP or two web services.",
    ),
}


@command(shows=True, changes=True, asks=True, also={**_RULE, **_INSTANCE})
def update_sg_rule(
    s: Settings,
    duration: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="TIME",
            help="Let the rule expire after 30m, 8h, 2d. It stays open until `rds revoke --expired` closes it.",
        ),
    ] = None,
    discover: Annotated[
        bool,
        typer.Option(
            "--discover", help="Find the group and the rule by the database instance, or by the group's name."
        ),
    ] = False,
    anywhere: Annotated[
        bool,
        typer.Option("--anywhere", help="Allow every address on the internet. Asks you to type the rule's id first."),
    ] = False,
) -> int:
    """Allow this machine's address in the security group. The rule is read back; a correct rule is not changed.

    cruddur rds update-sg-rule --discover --dry-run
    """
    from ..aws import security_group
    from ..aws.group_rules import PORT
    from .shared import confirm, connections, targets

    address = _address(s, anywhere)
    expires_at = _expiry(duration)
    with connections.ec2(s) as ec2:
        rule = _discover(s, ec2, address) if discover else security_group.find(ec2, **_ids(s))
        output.acting(
            s, f"rule {rule.rule_id} of security group {rule.group_id}, {_place(ec2)}", aws=targets.is_far(ec2.at)
        )
        if anywhere and not s.dry_run:
            sentence = f"The whole internet will be able to try to connect at tcp {PORT} through rule {rule.rule_id}."
            confirm.agree(s, sentence, name=rule.rule_id, remote=targets.is_far(ec2.at))
        mark = security_group.mark(_user(), platform.node(), times.now(), until=expires_at)
        change = security_group.set_address(ec2, rule, address=address, description=mark, ends=expires_at is not None)
        code = _warn_of_expired_rules(s, ec2)
    updated = int(change.result == "updated")
    output.show(s, [change], extra={"updated": updated, "unchanged": 1 - updated, "dry_run": s.dry_run})
    verb = "would be updated: it would allow" if updated and s.dry_run else "allows" if updated else "already allows"
    old_source = f", not {change.before}" if change.before != change.after else ", as before; its description is new"
    output.note(s, f"{change.rule_id} {verb} {change.after} ({address.origin})" + old_source * updated)
    return code


_CLOSED = {
    "security_group_id": _option(
        "--group-id",
        "GROUP",
        "The id of the security group. Default: $DB_SG_ID; without it, every group of the region is searched.",
    ),
    "security_group_rule_id": _option(
        "--rule-id", "RULE", "Close the rule with this id. Default: $DB_SG_RULE_ID. Not used with --expired."
    ),
}


@command(shows=True, changes=True, also=_CLOSED)
def revoke(
    s: Settings,
    expired: Annotated[
        bool,
        typer.Option(
            "--expired", help="Close every expired rule (`update-sg-rule --for`) in the group, or in the region."
        ),
    ] = False,
) -> None:
    """Close the inbound rule for PostgreSQL. The rule keeps its id, so update-sg-rule can open it again.

    A closed rule allows only 127.0.0.1/32, so no other machine can connect.

    cruddur rds revoke --expired
    """
    from ..aws import group_rules, security_group
    from .shared import connections, targets

    with connections.ec2(s) as ec2:
        group = s.security_group_id
        if expired:
            rules = group_rules.expired(ec2, times.now(), group_ids=[group] if group else None)
        else:
            rules = [security_group.find(ec2, **_ids(s))]
        ids = ", ".join(rule.rule_id for rule in rules) or "no rule"
        output.acting(s, f"{ids}, {_place(ec2)}", aws=targets.is_far(ec2.at))
        mark = security_group.mark(_user(), platform.node(), times.now())
        changes = [security_group.close(ec2, rule, description=mark) for rule in rules]
    updated = sum(change.result == "updated" for change in changes)
    output.show(
        s,
        changes,
        record=security_group.RuleChange,
        extra={"updated": updated, "unchanged": len(changes) - updated, "dry_run": s.dry_run},
    )
    would = "would be " if s.dry_run else ""
    outcome = f"{counted(updated, 'rule')} {would}closed" if updated else "nothing to close"
    output.outcome(s, outcome, changed=updated > 0)


@command(shows=True, also=_wait_until("available") | _INSTANCE)
def status(s: Settings) -> int:
    """Show the instance's state and endpoint. Exit code 1 unless it is available; --wait waits until it is.

    cruddur rds status --wait 600
    """
    from ..aws import instance
    from ..aws.instance import AVAILABLE, STOPPED, STUCK
    from .shared import connections

    with connections.rds(s) as rds:
        db = instance.find(rds, name=s.db_instance)
        db = _wait(s, rds, db, AVAILABLE, ends=(STOPPED, *STUCK))
    output.show(s, [db], draw=output.details)
    code = _warn_of_expired_rules(s)
    if db.status == STOPPED:
        output.note(s, f"{db.instance} is stopped: cruddur rds start --instance {db.instance} --wait 900")
    return code if db.status == AVAILABLE else Exit.NO


@command(shows=True, changes=True, also=_wait_until("available") | _INSTANCE)
def start(s: Settings) -> int:
    """Start the stopped instance. With --wait SECONDS, wait until it accepts connections, which takes minutes.

    cruddur rds start --wait 900
    """
    from ..aws import instance
    from ..aws.instance import AVAILABLE
    from .shared import connections, targets

    with connections.rds(s) as rds:
        before = instance.find(rds, name=s.db_instance)
        output.acting(s, f"database instance {before.instance}, {_place(rds)}", aws=targets.is_far(rds.at))
        after = before if s.dry_run else instance.start(rds, before)
        is_idle = instance.runs(before)
        return _report(s, rds, before, after, goal=AVAILABLE, done="started", is_idle=is_idle)


@command(shows=True, changes=True, asks=True, also=_wait_until("stopped") | _INSTANCE)
def stop(s: Settings) -> int:
    """Stop the instance. Asks you to type its name. AWS starts it again after seven days.

    cruddur rds stop --instance cruddur-db --confirm cruddur-db
    """
    from ..aws import instance
    from ..aws.instance import STOPPED, STOPPING
    from .shared import confirm, connections, targets

    with connections.rds(s) as rds:
        before = instance.find(rds, name=s.db_instance)
        output.acting(s, f"database instance {before.instance}, {_place(rds)}", aws=targets.is_far(rds.at))
        is_idle = before.status in {STOPPED, STOPPING}
        after = before
        if not is_idle and not s.dry_run:
            sentence = f"Instance {before.instance} ({before.status}) will be stopped: every connection to it ends."
            confirm.agree(s, sentence, name=before.instance, remote=targets.is_far(rds.at))
            after = instance.stop(rds, before)
        return _report(s, rds, before, after, goal=STOPPED, done="stopped", is_idle=is_idle)


@command(shows=True, changes=True, also=_INSTANCE)
def snapshot(
    s: Settings,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The snapshot's name. Default: the instance and the time.")
    ] = None,
    wait_s: Wait = LONGEST_S,
) -> int:
    """Take a snapshot of the instance and wait for it. If a snapshot with this NAME exists, none is taken.

    A snapshot is kept until you delete it, and its storage costs money.

    cruddur rds snapshot before-the-migration
    """
    from ..aws import instance, snapshots
    from .shared import connections, targets

    with connections.rds(s) as rds:
        db = instance.find(rds, name=s.db_instance)
        snapshot_name = name or snapshots.name_at(db.instance, times.now())
        snapshots.check_name(snapshot_name)
        what = f"snapshot {snapshot_name} of database instance {db.instance}, {_place(rds)}"
        output.acting(s, what, aws=targets.is_far(rds.at))
        if s.dry_run:
            output.show(s, [], record=snapshots.Snapshot, extra={"written": 0, "unchanged": 0, "dry_run": True})
            return Exit.DONE
        taken, is_new = snapshots.create(rds, db, snapshot_name, say=lambda text: output.note(s, text), wait_s=wait_s)
    extra = {"written": int(is_new), "unchanged": int(not is_new), "dry_run": False}
    output.show(s, [taken], draw=output.details, extra=extra)
    if not is_new:
        output.unchanged(s, f"snapshot {snapshot_name} exists already")
    return _warn_of_expired_rules(s)


@command(shows=True, also=_INSTANCE)
def list_snapshots(s: Settings) -> int:
    """List the snapshots of the instance, newest first."""
    from ..aws import instance, snapshots
    from .shared import connections

    with connections.rds(s) as rds:
        db = instance.find(rds, name=s.db_instance)
        as_table = output.columns("snapshot", "status", "type", "created_at", "size_gb")
        if not output.show(s, snapshots.listed(rds, db), record=snapshots.Snapshot, draw=as_table):
            output.note(s, f"{db.instance} has no snapshot: cruddur rds snapshot takes one.")
    return _warn_of_expired_rules(s)


def _expiry(duration: str | None) -> datetime | None:
    """The time at which a duration such as ``8h`` from now ends; None for no duration. Raises BadInput."""
    if duration is None:
        return None
    match = re.fullmatch(r"(\d{1,4})([mhd])", duration)
    if not match or not int(match[1]):
        raise BadInput(
            f"--for {duration!r} is not a length of time such as 30m, 8h or 2d.",
            hint="write a number from 1 to 9999, and m, h or d for minutes, hours or days",
        )
    unit = {"m": "minutes", "h": "hours", "d": "days"}[match[2]]
    return times.now() + timedelta(**{unit: int(match[1])})


def _warn_of_expired_rules(s: Settings, ec2: EC2 | None = None) -> int:
    """Warn of rules that have expired and are still open; returns the exit code.

    The exit code is 1 where the service that answers is not EC2, or its answer is damaged. It is 0 where EC2 is not
    configured, refuses or cannot be reached: the command itself did something else.
    """
    from ..aws import group_rules
    from ..aws_client import client as aws_client
    from .shared import connections

    rules = []
    code = Exit.DONE
    try:
        with nullcontext(ec2) if ec2 else connections.ec2(s) as opened:
            rules = group_rules.expired(opened, times.now())
    except NotConfigured:
        pass
    except CruddurError as error:
        output.warn(f"cannot tell which rules have expired: {error.message}")
        code = Exit.NO if error.code in aws_client.FALSE_ANSWERS else Exit.DONE
    for rule in rules:
        output.warn(
            f"rule {rule.rule_id} of {rule.group_id} still allows {rule.source}, although it expired at"
            f" {rule.expires_at:%Y-%m-%d %H:%MZ}: cruddur rds revoke --expired"
        )
    return code


def _report(s: Settings, rds: RDS, before: Instance, after: Instance, *, goal: str, done: str, is_idle: bool) -> int:
    """Print what was done, wait if ``--wait`` asks for it, and show the instance; returns the exit code.

    It is 1 where the instance does not reach the state ``goal`` in time.
    """
    from ..aws.instance import STOPPED, STUCK

    if is_idle:
        output.unchanged(s, f"{before.instance} is {before.status} already; nothing to do")
    elif s.dry_run:
        output.note(s, f"{before.instance} is {before.status}, and would be {done}")
    waits = s.wait_s > 0 and not s.dry_run
    after = _wait(s, rds, after, goal, ends=STUCK) if waits else after
    extra = {"updated": int(not is_idle), "unchanged": int(is_idle), "dry_run": s.dry_run}
    output.show(s, [after], draw=output.details, extra=extra)
    code = _warn_of_expired_rules(s)
    if goal == STOPPED and not s.dry_run:
        when = f"at {after.restarts_at:%Y-%m-%d %H:%MZ}" if after.restarts_at else "seven days after it stopped"
        output.note(s, f"AWS starts {after.instance} again by itself {when}. Until then you pay only for its storage.")
    if waits and after.status != goal:
        output.note(s, f"{after.instance} is {after.status}, not {goal}, after {s.wait_s:g} s: cruddur rds status")
        return Exit.NO
    return code


def _wait(s: Settings, rds: RDS, db: Instance, goal: str, *, ends: tuple[str, ...]) -> Instance:
    from ..aws import instance

    if not s.wait_s:
        return db
    return instance.wait(rds, db, goal=goal, wait_s=s.wait_s, ends=ends, say=lambda text: output.note(s, text))


def _address(s: Settings, anywhere: bool) -> Address:
    """The address to allow. It is found before any request to AWS.

    Raises BadInput, NotConfigured or Protected for an address that is not allowed, and CannotConnect or Refused where
    the services do not tell this machine's address.
    """
    from ..aws import address

    origin = s.origins["address"]
    is_option = origin == "--ip"
    if anywhere and not is_option:
        return address.parse(address.EVERYWHERE, origin="--anywhere", anywhere=True)
    if s.address is None:
        urls = [url.strip() for url in s.address_services.split(",") if url.strip()]
        return address.detect(urls)
    parsed = address.parse(s.address, origin=origin, wider=is_option, anywhere=anywhere)
    if anywhere and parsed.network not in {address.EVERYWHERE, "::/0"}:
        raise BadInput(f"--anywhere and --ip {s.address} contradict each other.", hint="leave one of them out")
    return parsed


def _ids(s: Settings) -> dict[str, str | None]:
    return {"group_id": s.security_group_id, "rule_id": s.security_group_rule_id}


def _discover(s: Settings, ec2: EC2, address: Address) -> Rule:
    """The rule, found by the group's name or by the database instance.

    Ids from variables are not used, because they may be old.
    """
    from ..aws import instance, security_group
    from .shared import connections

    if s.origins["security_group_rule_id"] == "--rule-id":
        raise BadInput(
            "--discover and --rule-id exclude each other: --discover finds the rule itself.",
            hint="leave one of them out",
        )
    if s.security_group_id and s.origins["security_group_id"] == "--group-id":
        groups, source = security_group.groups_named(ec2, s.security_group_id), s.security_group_id
    else:
        with connections.rds(s) as rds:
            db = instance.find(rds, name=s.db_instance)
        groups, source = list(db.security_groups), f"database instance {db.instance}"
    rule = security_group.discover(ec2, group_ids=groups, address=address)
    output.note(s, f"found by {source}: export DB_SG_ID={rule.group_id} DB_SG_RULE_ID={rule.rule_id}")
    return rule


def _place(opened: Service) -> str:
    return f"{opened.at.label}" + (f", {opened.region}" if opened.region not in opened.at.label else "")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # in a container, the user may have no entry in /etc/passwd
        return "unknown"
