"""The variables of the application, in each format."""

from __future__ import annotations

import pytest

from cruddur_cli.commands.local import application
from cruddur_cli.commands.shared.options import Form
from cruddur_cli.errors import NotConfigured


def as_github_reads(text: str) -> dict[str, str]:
    """GITHUB_ENV's file: NAME=value as it stands, or NAME<<WORD and lines down to the WORD."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        equals, heredoc = line.find("="), line.find("<<")
        if heredoc < 0 or 0 <= equals < heredoc:
            name, _, found_value = line.partition("=")
            assert name
            found[name] = found_value
        else:
            name, _, word = line.partition("<<")
            found[name] = "\n".join(iter(lines.__next__, word))
    return found


@pytest.mark.parametrize(
    "value", ["", "a b", "it's", 'a"b"', "a=b", "x<<EOF", "a#b", "p%20q?r=s&t=u", "C:/x, y;z", "grüße", "!~*[]{}"]
)
def test_github_env_gets_each_value_as_it_is(value: str) -> None:
    variables = {"CONNECTION_URL": value, "AWS_REGION": "us-east-1"}
    assert as_github_reads(application.formatted(variables, Form.DOTENV)) == variables


@pytest.mark.parametrize("value", ["a\nPATH=/tmp", "a\r", "$HOME", "a\\b", "`x`", " a", "a ", "'a'", '"a', "a #b", "#"])
def test_a_value_that_readers_of_dotenv_read_differently_is_refused(value: str) -> None:
    with pytest.raises(NotConfigured, match="CRUDDUR_HOME has a character") as caught:
        application.formatted({"CRUDDUR_HOME": value}, Form.DOTENV)
    assert caught.value.hint == "cruddur local env -o shell, or -o json"
