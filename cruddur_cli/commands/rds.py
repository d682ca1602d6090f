"""``cruddur rds``: the real database instance, and the rule that lets this machine reach it."""

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

    here = _address(s, anywhere)
    until = _end(duration)
    with connections.ec2(s) as ec2:
        rule = _discover(s, ec2, here) if discover else security_group.find(ec2, **_named(s))
        output.acting(
            s, f"rule {rule.rule_id} of security group {rule.group_id}, {_at(ec2)}", aws=targets.is_far(ec2.at)
        )
        if anywhere and not s.dry_run:
            sentence = f"The whole internet will be able to try to connect at tcp {PORT} through rule {rule.rule_id}."
            confirm.agree(s, sentence, name=rule.rule_id, remote=targets.is_far(ec2.at))
        mark = security_group.mark(_user(), platform.node(), times.now(), until=until)
        change = security_group.set_address(ec2, rule, address=here, description=mark, ends=until is not None)
        code = _tell_expired(s, ec2)
    updated = int(change.result == "updated")
    output.show(s, [change], extra={"updated": updated, "unchanged": 1 - updated, "dry_run": s.dry_run})
    done = "would be updated: it would allow" if updated and s.dry_run else "allows" if updated else "already allows"
    instead = f", not {change.before}" if change.before != change.after else ", as before; its description is new"
    output.note(s, f"{change.rule_id} {done} {change.after} ({here.origin})" + instead * updated)
    return code


_CLOSED = {
    "security_group_id": _option(
        "--group-id", "GROUP", "The rule's security group, by id. Default: $DB_SG_ID, or every group of the region."
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
            rules = [security_group.find(ec2, **_named(s))]
        ids = ", ".join(rule.rule_id for rule in rules) or "no rule"
        output.acting(s, f"{ids}, {_at(ec2)}", aws=targets.is_far(ec2.at))
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
    said = f"{counted(updated, 'rule')} {would}closed" if updated else "nothing to close"
    output.outcome(s, said, changed=updated > 0)


@command(shows=True, also=_wait_until("available") | _INSTANCE)
def status(s: Settings) -> int:
    """Show the instance's state and endpoint. Exit code 1 unless it is available; --wait waits until it is.

    cruddur rds status --wait 600
    """
    from ..aws import instance
    from ..aws.instance import AVAILABLE, STOPPED, STUCK
    from .shared import connections

    with connections.rds(s) as rds:
        found = instance.find(rds, name=s.db_instance)
        found = _wait(s, rds, found, AVAILABLE, ends=(STOPPED, *STUCK))
    output.show(s, [found], draw=output.details)
    code = _tell_expired(s)
    if found.status == STOPPED:
        output.note(s, f"{found.instance} is stopped: cruddur rds start --instance {found.instance} --wait 900")
    return code if found.status == AVAILABLE else Exit.NO


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
        output.acting(s, f"database instance {before.instance}, {_at(rds)}", aws=targets.is_far(rds.at))
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
        output.acting(s, f"database instance {before.instance}, {_at(rds)}", aws=targets.is_far(rds.at))
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
        one = instance.find(rds, name=s.db_instance)
        chosen = name or snapshots.name_at(one.instance, times.now())
        snapshots.check_name(chosen)
        what = f"snapshot {chosen} of database instance {one.instance}, {_at(rds)}"
        output.acting(s, what, aws=targets.is_far(rds.at))
        if s.dry_run:
            output.show(s, [], record=snapshots.Snapshot, extra={"written": 0, "unchanged": 0, "dry_run": True})
            return Exit.DONE
        done, made = snapshots.create(rds, one, chosen, say=lambda text: output.note(s, text), wait_s=wait_s)
    extra = {"written": int(made), "unchanged": int(not made), "dry_run": False}
    output.show(s, [done], draw=output.details, extra=extra)
    if not made:
        output.unchanged(s, f"snapshot {chosen} exists already")
    return _tell_expired(s)


@command(shows=True, also=_INSTANCE)
def list_snapshots(s: Settings) -> int:
    """List the snapshots of the instance, newest first."""
    from ..aws import instance, snapshots
    from .shared import connections

    with connections.rds(s) as rds:
        one = instance.find(rds, name=s.db_instance)
        if not output.show(s, snapshots.listed(rds, one), record=snapshots.Snapshot):
            output.note(s, f"{one.instance} has no snapshot: cruddur rds snapshot takes one.")
    return _tell_expired(s)


def _end(duration: str | None) -> datetime | None:
    """When a time such as ``8h`` from now is over. Raises BadInput."""
    if duration is None:
        return None
    found = re.fullmatch(r"(\d{1,4})([mhd])", duration)
    if not found or not int(found[1]):
        raise BadInput(
            f"--for {duration!r} is not a length of time such as 30m, 8h or 2d.",
            hint="write a number from 1 to 9999, and m, h or d for minutes, hours or days",
        )
    unit = {"m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return times.now() + timedelta(**{unit: int(found[1])})


def _tell_expired(s: Settings, ec2: EC2 | None = None) -> int:
    """Warn of rules whose end has passed. Exit code 1 where what answers is not EC2, or its answer arrives damaged.

    Where EC2 is not set up, refuses or cannot be reached, a command that does something else does not fail.
    """
    from ..aws import group_rules
    from ..aws_client import client as aws_client
    from .shared import connections

    found = []
    code = Exit.DONE
    try:
        with nullcontext(ec2) if ec2 else connections.ec2(s) as opened:
            found = group_rules.expired(opened, times.now())
    except NotConfigured:
        pass
    except CruddurError as error:
        output.warn(f"cannot tell which rules have expired: {error.message}")
        code = Exit.NO if error.code in aws_client.FALSE_ANSWERS else Exit.DONE
    for rule in found:
        output.warn(
            f"rule {rule.rule_id} of {rule.group_id} still allows {rule.source}, although its time is over"
            f" ({rule.expires_at:%Y-%m-%d %H:%MZ}): cruddur rds revoke --expired"
        )
    return code


def _report(s: Settings, rds: RDS, before: Instance, after: Instance, *, goal: str, done: str, is_idle: bool) -> int:
    """Say what was done, wait where that is wanted, show; exit code 1 where the state is not reached in time."""
    from ..aws.instance import STOPPED, STUCK

    if is_idle:
        output.unchanged(s, f"{before.instance} is {before.status} already; nothing to do")
    elif s.dry_run:
        output.note(s, f"{before.instance} is {before.status}, and would be {done}")
    waits = s.wait_s > 0 and not s.dry_run
    after = _wait(s, rds, after, goal, ends=STUCK) if waits else after
    extra = {"updated": int(not is_idle), "unchanged": int(is_idle), "dry_run": s.dry_run}
    output.show(s, [after], draw=output.details, extra=extra)
    code = _tell_expired(s)
    if goal == STOPPED and not s.dry_run:
        moment = f"at {after.restarts_at:%Y-%m-%d %H:%MZ}" if after.restarts_at else "seven days after it stopped"
        output.note(
            s, f"AWS starts {after.instance} again by itself {moment}. Until then you pay only for its storage."
        )
    if waits and after.status != goal:
        output.note(s, f"{after.instance} is {after.status}, not {goal}, after {s.wait_s:g} s: cruddur rds status")
        return Exit.NO
    return code


def _wait(s: Settings, rds: RDS, one: Instance, goal: str, *, ends: tuple[str, ...]) -> Instance:
    from ..aws import instance

    if not s.wait_s:
        return one
    return instance.wait(rds, one, goal=goal, wait_s=s.wait_s, ends=ends, say=lambda text: output.note(s, text))


def _address(s: Settings, anywhere: bool) -> Address:
    """The address to allow, known before anything is asked of AWS. Raises BadInput, NotConfigured, Protected, …"""
    from ..aws import address

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
    from ..aws import instance, security_group
    from .shared import connections

    if s.origins["security_group_rule_id"] == "--rule-id":
        raise BadInput(
            "--discover and --rule-id exclude each other: --discover finds the rule itself.",
            hint="leave one of them out",
        )
    if s.security_group_id and s.origins["security_group_id"] == "--group-id":
        groups, where = security_group.groups_named(ec2, s.security_group_id), s.security_group_id
    else:
        with connections.rds(s) as rds:
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
