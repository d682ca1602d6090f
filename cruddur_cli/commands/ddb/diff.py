"""``cruddur ddb diff``: compares the table with what the application expects."""

from __future__ import annotations

from ... import output
from ...errors import Exit
from ...output.text import counted
from ...settings import Settings
from ..shared.options import command


@command(shows=True, table=True, reports=True)
def diff(s: Settings) -> int:
    """Compare the table with what the application expects. Exit code 1 if they differ.

    It compares keys, index, billing and stream. `-` is what the table has, `+` is what is expected. Billing is a
    difference only if the index has less write capacity than the table. A stream is one only if its records lack the
    new image. With --prod, deletion protection is expected.

    cruddur ddb diff -o json
    """
    from ...dynamodb import tables
    from ...integrity import differences
    from ..shared import connections

    with connections.dynamodb(s) as dynamodb:
        actual, expected = tables.shape(tables.description(dynamodb), is_production=s.prod)
        findings = differences.compare(actual, expected)
        output.note(s, f"table {s.table} on {dynamodb.at.label}")
        output.show(
            s,
            findings,
            draw=output.difference,
            record=differences.Difference,
            meter=dynamodb.meter,
            extra={"objects": len(actual)},
        )
    if findings:
        output.note(s, counted(len(findings), "difference"))
    else:
        output.unchanged(s, "no difference")
    return Exit.NO if findings else Exit.DONE
