"""``cruddur db diff``: compares the database's schema with what the checkout's files create."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from ... import output
from ...errors import Exit
from ...output.text import counted
from ...settings import Settings
from ..shared.options import STATEMENT_TIMEOUT, command

_FILE = {
    "schema_file": (
        Annotated[
            str | None, typer.Option("--file", metavar="FILE", help="Compare with this schema file; - is stdin.")
        ],
        None,
    )
}


@command(shows=True, waits=True, reports=True, also=_FILE | STATEMENT_TIMEOUT)
def diff(s: Settings) -> int:
    """Compare the database's schema with what the schema file and all migrations make. Exit code 1 if they differ.

    `-` is what the database has, `+` is what the schema file and the migrations make. The files are loaded into a
    temporary database on the same server, but never on a production server. A table that is missing is one difference,
    without its columns and indexes. Owners, privileges and comments are not compared.

    cruddur db diff -o json
    """
    from ...integrity import differences
    from ...postgres import catalogue, production_marker
    from ...postgres.migrations import files as migration_files
    from ...postgres.migrations import runner as migration_runner
    from ..shared import connections, expected_schema, load_sql, targets

    script = load_sql.read_schema(s)
    folder = load_sql.find_migrations(s)
    files = migration_files.find(folder) if folder is not None and folder.exists() else []
    at = targets.server(s)
    with connections.postgres(s, at=replace(at, read_only=True)) as conn:
        actual = catalogue.definitions(conn)
        is_production = production_marker.is_production(conn)
        pending = sum(row.state == "pending" for row in migration_runner.status(conn, files))
    expected = expected_schema.of_files(s, at, script, files, is_production=is_production)
    findings = differences.tables_as_wholes(differences.compare(actual, expected))
    with_migrations = f", and {counted(len(files), 'migration')}" if files else ""
    output.note(s, f"{at.label} against {script}{with_migrations}")
    output.show(
        s,
        findings,
        draw=output.difference,
        record=differences.Difference,
        extra={"pending": pending, "objects": len(actual)},
    )
    if pending:
        output.note(s, f"{counted(pending, 'migration')} pending: cruddur db migrate{' --prod' if s.prod else ''}")
    if findings:
        output.note(s, counted(len(findings), "difference"))
    else:
        output.unchanged(s, f"no difference: {counted(len(actual), 'object')}")
    return Exit.NO if findings else Exit.DONE
