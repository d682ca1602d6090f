"""The command that is suggested for a word that is not a command."""

from __future__ import annotations

import re
import shlex

import pytest

from cruddur_cli.cli import suggestions, tree
from cruddur_cli.errors import Again
from tests.commands.conftest import Here


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("db update_cognito_user_ids", "update-cognito-user-ids"),
        ("ddb get-conversations", "get-conversation"),
        ("ddb list-conversation", "list-conversations"),
        ("ddb schema_load", "schema-load"),
        ("dbb", "db"),
        ("db test", "ping"),
        ("db status", "ping"),
        ("db psql", "connect"),
        ("db delete", "drop"),
        ("ddb list", "list-tables"),
        ("ddb delete", "drop"),
        ("local start", "up"),
        ("local stop", "down"),
        ("cognito list", "list-users"),
        ("db mgrate", "migrate"),
        ("ddb list-messages", "get-conversation"),
        ("ddb list_message_groups", "list-conversations"),
        ("db recreate", "reset"),
        ("db sync", "update-cognito-user-ids"),
        ("ddb stream run", "process"),
    ],
)
def test_a_scripts_spelling_gets_did_you_mean(here: Here, typed: str, meant: str) -> None:
    ran = here(*typed.split())
    assert (ran.code, ran.out) == (2, "")
    assert "Did you mean" in ran.err
    assert f"'{meant}'" in ran.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ddb drop cruddur-messages", "cruddur ddb drop --table cruddur-messages"),
        ("ddb patterns get-conversation", "cruddur ddb get-conversation"),
        ("ddb patterns list_conversation", "cruddur ddb list-conversations"),
        ("generate migration add_bio", "cruddur db new-migration"),
        ("migrate", "cruddur db migrate"),
        ("ddb migrate", "cruddur db migrate"),
        ("seed --prod", "cruddur ddb seed --prod, or cruddur db seed --prod"),
        ("list-users", "cruddur cognito list-users"),
        ("nonsense", "cruddur --help"),
        ("start", "cruddur local up"),
        ("stop", "cruddur local down"),
        ("status", "cruddur local status"),
        ("test", "cruddur db ping"),
        ("prepare", "cruddur setup"),
        ("local drop", "cruddur local --help"),
        ("ddb --prod seed", "cruddur ddb seed --prod"),
        ("--prod ddb seed", "cruddur ddb seed --prod"),
        ("-q ddb --table x seed -n", "cruddur ddb seed -n -q --table x"),
        ("ddb stream --once process", "cruddur ddb stream process --once"),
        ("ddb get-conversation bayko 2024 more", "cruddur ddb get-conversation --help"),
        ("db drop cruddur", "cruddur db drop --help"),
    ],
)
def test_a_scripts_command_or_one_of_another_group_is_suggested(here: Here, typed: str, meant: str) -> None:
    ran = here(*typed.split())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1] == f"  next: {meant}"


@pytest.mark.parametrize(
    "typed",
    [f"{group} {name}x" for group, name in sorted(suggestions._RISKY)]
    + ["db restt", "ddb drp", "rds sart", "rds stopp", "strt", "rest", "local rest", "db kill-al"],
)
def test_no_destructive_or_costly_command_is_suggested_for_a_similar_word(here: Here, typed: str) -> None:
    ran = here(*typed.split())
    assert ran.code == 2
    said = set(re.findall(r"cruddur ([a-z]+) ([a-z-]+)", ran.err.partition("next: ")[2]))
    assert not said & suggestions._RISKY
    assert not [pair for pair in said if pair[0] == "rds" and pair[1] in {"start", "stop", "update-sg-rule"}]


def test_every_synonym_leads_to_a_command_that_exists() -> None:
    known = set(tree.paths())
    for group, words in suggestions._SYNONYMS.items():
        for word, meant in words.items():
            assert (*group.split(), *meant.split()) in known, (group, word)
            assert (*group.split(), word) not in known, (group, word)


@pytest.mark.parametrize(
    ("line", "again", "expected"),
    [
        ("ddb scan --typed", Again(("-o", "jsonl")), "cruddur ddb scan --typed -o jsonl"),
        ("ddb scan -ocsv --typed", Again(("-o", "jsonl")), "cruddur ddb scan --typed -o jsonl"),
        ("ddb scan --output=csv --typed", Again(("-o", "jsonl")), "cruddur ddb scan --typed -o jsonl"),
        ("ddb scan --output csv --pk 'a b'", Again(without=("-o",)), "cruddur ddb scan --pk 'a b'"),
        (
            "ddb stats --from x --sample 3 -q",
            Again(without=("--sample", "--segments")),
            "cruddur ddb stats --from x -q",
        ),
        ("db connect --prod -- --prod", Again(without=("--prod",)), "cruddur db connect -- --prod"),
        ("local reset --prod --yes", Again(without=("--prod",)), "leave out --prod"),
        ("ddb drop --yes", Again(("-o", "jsonl")), "add -o jsonl"),
    ],
)
def test_a_hint_is_the_same_command_with_other_options(line: str, again: Again, expected: str) -> None:
    arguments = shlex.split(line)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    assert suggestions.same_command(arguments, again, end=end) == expected


def test_options_that_exclude_each_other_are_refused_with_a_valid_command(here: Here) -> None:
    ran = here("ddb", "get-conversation", "--follow", "--year", "2026", "-o", "jsonl")
    assert ran.code == 2
    assert '"hint": "cruddur ddb get-conversation --follow -o jsonl"' in ran.err
