"""``cruddur audit``: checks who could read, change or destroy production, and whether it could be restored."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import __version__, output, settings, times
from ..errors import BadInput, Exit
from ..output import github
from ..settings import FILE_NAME, Settings
from .shared.options import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..audit.accepted import Acceptance
    from ..audit.model import Finding, Scope, Seen


class AuditOutput(StrEnum):
    """The values of ``-o``: how findings are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    MARKDOWN = "markdown"
    SARIF = "sarif"


def _option(flag: str, metavar: str, meaning: str) -> tuple[Any, Any]:
    return (Annotated[str | None, typer.Option(flag, metavar=metavar, help=meaning)], None)


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "output": (
        Annotated[
            AuditOutput,
            typer.Option(
                "--output",
                "-o",
                metavar="FORMAT",
                help="Output format: table, json, jsonl, csv, markdown, or sarif for code scanning.",
            ),
        ],
        AuditOutput.TABLE,
    ),
    "db_instance": _option(
        "--instance", "NAME", "The database instance. Default: $CRUDDUR_DB_INSTANCE, or the only PostgreSQL one."
    ),
    "security_group_id": _option(
        "--group-id", "GROUP", "The database's security group. Default: $DB_SG_ID, or those of the instance."
    ),
}


@command(shows=True, table=True, reports=True, also=_OPTIONS)
def audit(
    s: Settings,
    strict: Annotated[bool, typer.Option("--strict", help="Also fail if a check says `cannot see`.")] = False,
    accepted: Annotated[
        str | None,
        typer.Option(
            "--accepted",
            metavar="FILE",
            help="Read accepted findings from FILE. Default: cruddur-audit.toml in this folder or one above.",
        ),
    ] = None,
    no_accepted: Annotated[bool, typer.Option("--no-accepted", help="Ignore all accepted findings.")] = False,
    vpc: Annotated[
        str | None,
        typer.Option("--vpc", metavar="VPC", help="The application's VPC. Default: that of the database instance."),
    ] = None,
    function: Annotated[
        str, typer.Option("--function", metavar="NAME", help="The Lambda function that reads the table's stream.")
    ] = "cruddur-stream",
) -> int:
    """Check who could read, change or destroy production. Also checks whether it could be restored. Changes nothing.

    Each finding names its control (AWS Security Hub, AWS Config) and the command that fixes it. Exit code 1 when a
    check fails. docs/audit.md has the read-only policy that it needs.

    cruddur audit --prod -o sarif > audit.sarif
    """
    from ..audit import report
    from ..audit.checks import CHECKS

    if not s.prod:
        raise BadInput("audit checks production only.", hint="cruddur audit --prod")
    settings.check_table_name(s.table, s.origins["table"])
    path = _accepted_file(accepted, no_accepted)
    entries = _accepted(path)
    account = _collect(s, vpc, function)
    findings = report.findings(CHECKS, account, entries)
    for line in report.notes(findings, entries, account):
        output.warn(line)
    if s.output != AuditOutput.SARIF:  # code scanning shows these findings, to fewer people than a job's log
        failures = [finding for finding in findings if report.is_bad([finding], strict=strict)]
        if failures and github.is_runner():
            _annotate(s, failures, path)
    _show(s, findings, account.scope, strict=strict)
    counts = report.counts(findings)
    output.note(s, f"{len(findings)} checks: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    return Exit.NO if report.is_bad(findings, strict=strict) else Exit.DONE


def _sentence(finding: Finding) -> str:
    return f"{finding.title}: {finding.evidence}." + (f"\nnext: {finding.remedy}" if finding.remedy else "")


def _annotate(s: Settings, failures: Sequence[Finding], accepted: Path | None) -> None:
    from .shared import checkout_lines

    github.annotate_findings(
        s,
        (
            (finding.check, _sentence(finding), "error", checkout_lines.of_audit(s, finding, accepted))
            for finding in failures
        ),
    )


def _accepted_file(name: str | None, none: bool) -> Path | None:
    from ..audit import accepted

    if none and name is not None:
        raise BadInput("--accepted and --no-accepted contradict each other.", hint="leave one of them out")
    return None if none else Path(name) if name is not None else accepted.find(Path.cwd())


def _accepted(path: Path | None) -> list[Acceptance]:
    from ..audit import accepted
    from ..audit.checks import CHECKS

    return [] if path is None else accepted.read(path, [check.name for check in CHECKS])


def _collect(s: Settings, vpc: str | None, function: str) -> Seen:
    from ..audit import collect
    from ..audit.checks import CHECKS
    from ..audit.model import Scope
    from .shared import connections

    with connections.reading(s, "sts") as (client, at):
        account, partition = collect.identity(client, at)
        region = str(client.meta.region_name)
    scope = Scope(
        table=s.table,
        region=region,
        account=account,
        partition=partition,
        now=times.now(),
        user_pool_id=s.user_pool_id,
        db_instance=s.db_instance,
        security_group_id=s.security_group_id,
        vpc_id=vpc,
        function=function,
    )
    output.reads_production(s, f"account {account}, {region}, table {s.table} (nothing is changed)")
    with output.progress(s, "checking", len(collect.services(CHECKS))) as advance:
        return collect.collect(CHECKS, scope, lambda service: connections.reading(s, service), say=lambda _: advance(1))


def _show(s: Settings, findings: list[Finding], scope: Scope, *, strict: bool) -> None:
    from ..audit import markdown, report, sarif
    from ..audit.checks import CHECKS
    from ..audit.model import Finding

    text = markdown.text(findings, what=f"account {scope.account}, {scope.region}")
    github.keep_text(s, text)
    if s.svg and s.output in {AuditOutput.SARIF, AuditOutput.MARKDOWN}:
        output.save_picture(s, findings, output.findings)
    if s.output == AuditOutput.SARIF:
        log = sarif.log(CHECKS, findings, version=__version__, place=_repository_path(s), strict=strict)
        output.write(log)
    elif s.output == AuditOutput.MARKDOWN:
        output.write(text)
    else:
        output.show(s, findings, draw=output.findings, record=Finding, extra=report.counts(findings))


def _repository_path(s: Settings) -> str:
    """The path of the file that SARIF's results point to, relative to the root of its repository."""
    if s.file is None:
        return FILE_NAME
    root = next((folder for folder in s.file.parents if (folder / ".git").exists()), s.file.parent)
    return Path(os.path.relpath(s.file, root)).as_posix()
