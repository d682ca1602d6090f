"""Reads the definitions in a database as text, to compare two states of a database or two databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import masking

if TYPE_CHECKING:
    from psycopg import Connection

_QUERY = """
    WITH mine AS (
        SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    )
    SELECT concat_ws(' ', 'column', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum), a.attacl)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm', 'c', 'f')
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace IN (TABLE mine) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT concat_ws(' ', 'relation', oid::regclass, relkind, relacl, reloptions, relrowsecurity,
        CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END, obj_description(oid, 'pg_class'))
    FROM pg_class WHERE relnamespace IN (TABLE mine) AND relkind <> 'i'
    UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON oid = indexrelid
    WHERE relnamespace IN (TABLE mine)
    UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace IN (TABLE mine)
    UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace IN (TABLE mine) AND NOT t.tgisinternal
    UNION ALL SELECT concat_ws(' ', 'function', oid::regprocedure, md5(prosrc), proacl) FROM pg_proc
    WHERE pronamespace IN (TABLE mine)
    UNION ALL SELECT concat_ws(' ', 'type', enumtypid::regtype, enumsortorder, enumlabel) FROM pg_enum
    UNION ALL SELECT concat_ws(' ', 'domain', oid::regtype, format_type(typbasetype, typtypmod), typnotnull, typdefault)
    FROM pg_type WHERE typtype = 'd' AND typnamespace IN (TABLE mine)
    UNION ALL SELECT concat_ws(' ', 'sequence', seqrelid::regclass, seqtypid::regtype, seqstart, seqincrement, seqmin,
        seqmax, seqcycle)
    FROM pg_sequence JOIN pg_class ON oid = seqrelid WHERE relnamespace IN (TABLE mine)
    UNION ALL SELECT concat_ws(' ', 'policy', polrelid::regclass, polname, pg_get_expr(polqual, polrelid))
    FROM pg_policy
    UNION ALL SELECT concat_ws(' ', 'extension', extname, extversion) FROM pg_extension
    UNION ALL SELECT concat_ws(' ', 'schema', nspname, nspacl) FROM pg_namespace WHERE oid IN (TABLE mine)
    ORDER BY 1
"""


def read(conn: Connection[Any]) -> list[str]:
    """One line for each table, column, index, constraint, function, type and privilege, sorted.

    Equal lists mean that the schema has not changed.
    """
    return [row[0] for row in conn.execute(_QUERY.encode()).fetchall()]


# Tables about the database itself: they are no part of the application's schema.
_BOOKKEEPING = "'schema_information', 'cruddur_migrations', 'cruddur_environment'"
_DEFINITIONS = f"""
    WITH mine AS (
        SELECT oid, quote_ident(nspname) AS name FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    ), extended AS (
        SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
    ), relations AS (
        SELECT c.oid, c.relkind, n.name || '.' || quote_ident(c.relname) AS name, c.relpersistence, c.relrowsecurity,
            c.relispartition
        FROM pg_class c JOIN mine n ON n.oid = c.relnamespace
        WHERE c.relname NOT IN ({_BOOKKEEPING}) AND ('pg_class'::regclass, c.oid) NOT IN (TABLE extended)
    )
    SELECT 'table ' || name, concat_ws(' ', CASE relkind WHEN 'p' THEN 'partitioned' WHEN 'f' THEN 'foreign' END,
        CASE relpersistence WHEN 'u' THEN 'unlogged' END, CASE WHEN relispartition THEN 'partition' END,
        CASE WHEN relrowsecurity THEN 'row level security' END)
    FROM relations WHERE relkind IN ('r', 'p', 'f')
    UNION ALL SELECT CASE relkind WHEN 'v' THEN 'view ' ELSE 'materialized view ' END || name, pg_get_viewdef(oid)
    FROM relations WHERE relkind IN ('v', 'm')
    UNION ALL SELECT 'column ' || r.name || '.' || quote_ident(a.attname),
        concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
            CASE a.attidentity WHEN 'a' THEN 'generated always as identity' WHEN 'd' THEN 'generated as identity' END,
            CASE WHEN d.adbin IS NULL THEN NULL WHEN a.attgenerated <> '' THEN 'generated as ' ELSE 'default ' END
                || pg_get_expr(d.adbin, d.adrelid))
    FROM pg_attribute a JOIN relations r ON r.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind IN ('r', 'p', 'f', 'c')
    UNION ALL SELECT 'constraint ' || r.name || '.' || quote_ident(k.conname), pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN relations r ON r.oid = k.conrelid
    WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0
    UNION ALL SELECT 'index ' || r.name, pg_get_indexdef(i.indexrelid)
        || CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END
    FROM pg_index i JOIN relations r ON r.oid = i.indexrelid JOIN relations t ON t.oid = i.indrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
    UNION ALL SELECT 'sequence ' || r.name,
        concat_ws(' ', format_type(s.seqtypid, NULL), 'start', s.seqstart, 'increment', s.seqincrement)
    FROM pg_sequence s JOIN relations r ON r.oid = s.seqrelid
    UNION ALL SELECT 'trigger ' || r.name || '.' || quote_ident(t.tgname),
        pg_get_triggerdef(t.oid) || CASE t.tgenabled WHEN 'D' THEN ' (disabled)' ELSE '' END
    FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
    UNION ALL SELECT 'policy ' || r.name || '.' || quote_ident(p.polname), concat_ws(' ', p.polcmd, p.polpermissive,
        pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_policy p JOIN relations r ON r.oid = p.polrelid
    UNION ALL SELECT CASE p.prokind WHEN 'p' THEN 'procedure ' WHEN 'a' THEN 'aggregate ' ELSE 'function ' END
        || n.name || '.' || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')',
        CASE WHEN p.prokind = 'a' THEN format_type(p.prorettype, NULL) ELSE pg_get_functiondef(p.oid) END
    FROM pg_proc p JOIN mine n ON n.oid = p.pronamespace
    WHERE ('pg_proc'::regclass, p.oid) NOT IN (TABLE extended)
        AND NOT (p.proname = 'uuid_generate_v4' AND p.pronargs = 0)
    UNION ALL SELECT 'type ' || n.name || '.' || quote_ident(t.typname), CASE t.typtype WHEN 'e' THEN 'enum ('
        || (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum e
            WHERE e.enumtypid = t.oid)
        || ')' WHEN 'd' THEN concat_ws(' ', 'domain', format_type(t.typbasetype, t.typtypmod),
        CASE WHEN t.typnotnull THEN 'not null' END, 'default ' || t.typdefault,
        (SELECT string_agg(pg_get_constraintdef(oid), ' ' ORDER BY conname) FROM pg_constraint
            WHERE contypid = t.oid AND contype = 'c')) ELSE 'composite' END
    FROM pg_type t JOIN mine n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype IN ('e', 'd') OR (t.typtype = 'c' AND c.relkind = 'c'))
        AND ('pg_type'::regclass, t.oid) NOT IN (TABLE extended)
    UNION ALL SELECT 'extension ' || quote_ident(extname), '' FROM pg_extension
    WHERE extname NOT IN ('plpgsql', 'uuid-ossp')
    UNION ALL SELECT 'schema ' || name, '' FROM mine
    WHERE name <> 'public' AND ('pg_namespace'::regclass, oid) NOT IN (TABLE extended)
"""
_SEARCH_PATH = "SELECT current_setting('search_path'), set_config('search_path', %s, true)"


def definitions(conn: Connection[Any]) -> dict[str, str]:
    """The definition of each object by its name, such as ``column public.users.bio``: ``text not null``.

    Owners, privileges and comments are left out, because they differ from server to server. So are the objects of
    extensions, this program's own tables, and the embedded server's stand-in for uuid-ossp. The names of tables, types
    and functions include their schema.
    """
    row = conn.execute(_SEARCH_PATH, ["pg_catalog"]).fetchone()
    assert row is not None
    rows = conn.execute(_DEFINITIONS.encode()).fetchall()
    conn.execute(_SEARCH_PATH, [row[0]])
    return {name: " ".join(text.split()) for name, text in sorted(rows)}


def tables_with_secrets(conn: Connection[Any]) -> frozenset[str]:
    """The names of the tables that have a column for secrets, without their schema."""
    names = conn.execute(
        "SELECT DISTINCT convert_to(relname::text, 'UTF8') FROM pg_catalog.pg_class AS c"
        " JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid"
        " WHERE c.relkind IN ('r', 'p', 'f', 'v') AND a.attnum > 0 AND NOT a.attisdropped"
        " AND c.relnamespace <> 'pg_catalog'::regnamespace AND a.attname ~* %s",
        [masking.SECRET_COLUMN],
    ).fetchall()
    return frozenset(bytes(name).decode() for (name,) in names)
