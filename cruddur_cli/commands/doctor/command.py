"""The command ``cruddur doctor``: reads the stores, runs the checks, fixes findings with ``--fix``, and shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ... import output
from ...errors import BadInput, Exit
from ...output import github
from ...settings import Settings
from ..shared.options import MAX_UNITS, command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...dynamodb.client import DynamoDB
    from ...dynamodb.transfer import input_files
    from ...integrity.model import Facts, Finding, Problem


@command(shows=True, asks=True, table=True, reports=True, also={"max_units": MAX_UNITS})
def doctor(
    s: Settings,
    fix: Annotated[
        bool, typer.Option("--fix", help="Fix the findings that cruddur can fix itself. Asks first.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Read this export instead of the table: a file, or the folder of DynamoDB's own export.",
        ),
    ] = None,
) -> int:
    """Check this machine, the stores and what must agree.

    The stores are PostgreSQL, DynamoDB and Cognito. Without --fix nothing is changed. Each finding has the evidence,
    the cost of the fix, and the command that fixes it. Exit code 1 if there is a finding. An embedded engine that does
    not run is a finding; it is not started. If reading the table costs more than --max-units (1,000 with --prod), only
    a sample is read; --fix then refuses.

    cruddur doctor -o json
    """
    from ...integrity import model
    from ...integrity.checks import CHECKS
    from . import examination

    if fix and source is not None:
        raise BadInput("--fix changes the table, and --from reads an export instead.", hint="leave one of them out")
    read_only = examination.read_only(s)
    with examination.table(read_only, source) as dynamodb:
        facts, findings, fixed = _examine(s, read_only, dynamodb, fix=fix)
        meter = getattr(dynamodb, "meter", None)
        extra = {"checks": len(CHECKS), "fixed": fixed, "sampled": model.is_sample(facts)}
        output.show(s, findings, draw=output.diagnosis, record=model.Finding, meter=meter, extra=extra)
    if findings and github.is_runner():
        _annotate(s, facts, findings)
    for line in model.notes(facts):
        output.note(s, line)
    if fix and findings:
        output.note(s, f"not fixed: {', '.join(finding.check for finding in findings)}")
    if not findings:
        output.note(s, f"{len(CHECKS)} checks: nothing is wrong")
    return Exit.NO if findings else Exit.DONE


def _examine(
    s: Settings, read_only: Settings, dynamodb: DynamoDB | Problem | input_files.Source, *, fix: bool
) -> tuple[Facts, list[Finding], int]:
    """The facts, the findings, and how many checks ``--fix`` has satisfied.

    With ``fix`` they are read again after the fixes.
    """
    from ...dynamodb.client import DynamoDB
    from ...integrity import model
    from ...integrity.checks import CHECKS
    from . import examination, fixes

    if fix and isinstance(dynamodb, DynamoDB):
        examination.refuse_to_fix_a_sample(read_only, dynamodb)
    facts = examination.facts(read_only, dynamodb, whole=fix)
    findings = model.findings(CHECKS, facts)
    fixable = [finding for finding in findings if finding.fixable]
    if not (fix and fixable and isinstance(dynamodb, DynamoDB)):
        return facts, findings, 0
    fixes.agree(read_only, fixable, dynamodb)
    fixes.fix(s, fixable, facts, limiter=dynamodb.limiter)
    dynamodb.tags.clear()  # a fix may have changed them
    facts = examination.facts(read_only, dynamodb, whole=True)
    findings = model.findings(CHECKS, facts)
    return facts, findings, len({finding.check for finding in fixable} - {finding.check for finding in findings})


def _annotate(s: Settings, facts: Facts, findings: Sequence[Finding]) -> None:
    from ..shared import checkout_lines

    github.annotate_findings(
        s,
        (
            (
                finding.check,
                f"{finding.evidence}.\nnext: {finding.remedy}",
                github.LEVELS[finding.severity],
                checkout_lines.of_doctor(s, facts, finding),
            )
            for finding in findings
        ),
    )
