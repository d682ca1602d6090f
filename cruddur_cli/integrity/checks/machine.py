"""Checks of this machine: its Python, disk, clock, engines, settings and credentials."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import timedelta

from ..model import Check, Clock, Defect, Facts, Problem, declare, some

CHECKS: list[Check] = []
check = declare("machine", CHECKS)
# The engines save a table into a new file beside the old one.
_MIN_FREE_BYTES = 500_000_000
_OLDEST_PYTHON = (3, 11)
# Well below five minutes, from which on AWS refuses a request ("Elements of an AWS API request signature").
_CLOCK_S = 60.0
# A long import may take longer than this.
_SOON = timedelta(minutes=15)


@check("python-version", "high")
def python(facts: Facts) -> Iterator[Defect]:
    """Python is older than cruddur needs."""
    if tuple(facts.machine.python) < _OLDEST_PYTHON:
        version = ".".join(map(str, facts.machine.python))
        yield Defect(f"Python {version} runs cruddur, which needs 3.11 or later", "uv venv --python 3.13")


@check("extra-missing", "high")
def extra(facts: Facts) -> Iterator[Defect]:
    """An embedded engine is in use, and its program is not installed."""
    if facts.machine.not_installed:
        names = " and ".join(facts.machine.not_installed)
        yield Defect(f"the embedded {names} cannot start: the extra `local` is not installed", facts.machine.install)


@check("home-unusable", "high")
def home(facts: Facts) -> Iterator[Defect]:
    """The folder of the embedded stack cannot be used."""
    machine = facts.machine
    if machine.folder_problem:
        yield Defect(f"the embedded stack cannot use {machine.folder}: {machine.folder_problem}", "cruddur config")


@check("home-relative", "medium")
def relative_home(facts: Facts) -> Iterator[Defect]:
    """CRUDDUR_HOME depends on the folder that a command runs in."""
    machine = facts.machine
    if machine.relative_folder:
        yield Defect(
            f"CRUDDUR_HOME is {machine.relative_folder!r}, a relative path: each folder has another embedded stack",
            f"export CRUDDUR_HOME={shlex.quote(machine.folder)}",
        )


@check("engine-stopped", "high")
def engines(facts: Facts) -> Iterator[Defect]:
    """An embedded engine that is in use does not run."""
    machine = facts.machine
    reported = {*machine.not_installed, *machine.silent, *machine.taken_ports}
    stopped = [name for name in facts.engines if name not in reported]
    if stopped and not machine.folder_problem:
        names = " and ".join(stopped)
        where = f"; its folder {machine.folder} does not exist yet" if machine.folder_is_missing else ""
        yield Defect(f"the embedded {names} {'does' if len(stopped) == 1 else 'do'} not run{where}", "cruddur local up")


@check("engine-silent", "high")
def silent(facts: Facts) -> Iterator[Defect]:
    """An embedded engine runs and does not answer."""
    if facts.machine.silent:
        names = " and ".join(facts.machine.silent)
        verb = "runs but does" if len(facts.machine.silent) == 1 else "run but do"
        yield Defect(f"the embedded {names} {verb} not answer", "cruddur local down && cruddur local up")


@check("port-taken", "high")
def ports(facts: Facts) -> Iterator[Defect]:
    """Another program listens on the port of an embedded engine that does not run."""
    taken = facts.machine.taken_ports
    if taken and not facts.machine.folder_problem:
        ports_taken = [f"port {port} of the embedded {name}" for name, port in taken.items()]
        yield Defect(
            f"another program uses {' and '.join(ports_taken)}: variables of `cruddur local env` lead to that program",
            'cruddur local up && eval "$(cruddur local env)"',
        )


@check("variables-contradict", "medium")
def contradictions(facts: Facts) -> Iterator[Defect]:
    """Two settings that mean the same thing have different values."""
    if facts.machine.contradictions:
        pairs = [
            f"{each.used} and {each.other} differ; {each.used} is used" + (f", {each.why}" if each.why else "")
            for each in facts.machine.contradictions
        ]
        yield Defect(some(pairs), facts.command("config"))


@check("host-unresolved", "high")
def hosts(facts: Facts) -> Iterator[Defect]:
    """A setting names a host that does not resolve here, and its store cannot be reached."""
    stores = {"postgres": facts.database, "dynamodb": facts.table, "cognito": facts.pool}
    unresolved = [
        f"{each.origin} names the host {each.host}, which does not resolve here"
        + (f", and {each.instead} does not answer" if each.instead else "")
        for each in facts.machine.unresolved
        if isinstance(problem := stores.get(each.store), Problem) and problem.code == "cannot_connect"
    ]
    if unresolved:
        yield Defect(some(unresolved), facts.command("config"))


@check("clock-differs", "medium")
def clocks(facts: Facts) -> Iterator[Defect]:
    """The clock of this machine differs from a server's."""
    wrong_clocks = [each for each in facts.machine.clocks if abs(each.ahead_s) > _CLOCK_S]
    if wrong_clocks:
        yield Defect(f"the clock of this machine differs: {some(map(_clock, wrong_clocks))}", "timedatectl status")


def _clock(clock: Clock) -> str:
    by = timedelta(seconds=round(abs(clock.ahead_s)))
    return f"{clock.server} is {by} {'ahead' if clock.ahead_s > 0 else 'behind'}"


@check("credentials-missing", "high")
def credentials(facts: Facts) -> Iterator[Defect]:
    """There are no credentials for AWS."""
    if is_expired(facts):
        return
    for problem in (facts.table, facts.pool):
        if isinstance(problem, Problem) and problem.code == "missing_credentials":
            yield Defect(problem.sentence.rstrip("."), "aws configure, or aws sso login")
            return


@check("credentials-expire", "high")
def expiry(facts: Facts) -> Iterator[Defect]:
    """The credentials for AWS have expired, or expire within 15 minutes."""
    expiring = facts.machine.expiry
    if expiring is not None and expiring.at <= facts.now + _SOON:
        is_past = expiring.at <= facts.now
        minutes = round((expiring.at - facts.now) / timedelta(minutes=1))
        when = f"expired at {expiring.at:%Y-%m-%d %H:%M} UTC" if is_past else f"expire in {minutes} minutes"
        yield Defect(f"{expiring.what} {when}", expiring.remedy)


def is_expired(facts: Facts) -> bool:
    """Whether the credentials for AWS are known to have expired."""
    return facts.machine.expiry is not None and facts.machine.expiry.at <= facts.now


@check("disk-full", "high")
def disk(facts: Facts) -> Iterator[Defect]:
    """The disk of the embedded stack is nearly full."""
    free = facts.machine.free_bytes
    if free is not None and free < _MIN_FREE_BYTES:
        yield Defect(
            f"{free // 1_000_000:,} MB are free for {facts.machine.folder}",
            f"du -sh {shlex.quote(facts.machine.folder)}",
        )
