"""The command ``cruddur doctor``: read, check, fix what may be fixed, show."""

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
    looking = examination.looking(s)
    with examination.table(looking, source) as dynamodb:
        facts, found, fixed = _examine(s, looking, dynamodb, fix=fix)
        meter = getattr(dynamodb, "meter", None)
        extra = {"checks": len(CHECKS), "fixed": fixed, "sampled": model.is_sample(facts)}
        output.show(s, found, draw=output.diagnosis, record=model.Finding, meter=meter, extra=extra)
    if found and github.is_runner():
        _annotate(s, facts, found)
    for line in model.notes(facts):
        output.note(s, line)
    if fix and found:
        output.note(s, f"not fixed: {', '.join(one.check for one in found)}")
    if not found:
        output.note(s, f"{len(CHECKS)} checks: nothing is wrong")
    return Exit.NO if found else Exit.DONE


def _examine(
    s: Settings, looking: Settings, dynamodb: DynamoDB | Problem | input_files.Source, *, fix: bool
) -> tuple[Facts, list[Finding], int]:
    """The facts and the findings, after the fixes where they are asked for; how many checks these have satisfied."""
    from ...dynamodb.client import DynamoDB
    from ...integrity import model
    from ...integrity.checks import CHECKS
    from . import examination, fixes

    if fix and isinstance(dynamodb, DynamoDB):
        examination.refuse_to_fix_a_sample(looking, dynamodb)
    facts = examination.facts(looking, dynamodb, whole=fix)
    found = model.findings(CHECKS, facts)
    fixable = [one for one in found if one.fixable]
    if not (fix and fixable and isinstance(dynamodb, DynamoDB)):
        return facts, found, 0
    fixes.agree(looking, fixable, dynamodb)
    fixes.fix(s, fixable, facts, limiter=dynamodb.limiter)
    dynamodb.tags.clear()  # they may have changed
    facts = examination.facts(looking, dynamodb, whole=True)
    found = model.findings(CHECKS, facts)
    return facts, found, len({one.check for one in fixable} - {one.check for one in found})


def _annotate(s: Settings, facts: Facts, found: Sequence[Finding]) -> None:
    from ..shared import checkout_lines

    github.annotate_findings(
        s,
        (
            (
                one.check,
                f"{one.evidence}.\nnext: {one.remedy}",
                github.LEVELS[one.severity],
                checkout_lines.of_doctor(s, facts, one),
            )
            for one in found
        ),
    )
