"""``cruddur config``: shows the settings in effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from .. import masking, output, settings
from ..settings import Settings
from .shared.options import command


@dataclass(frozen=True)
class SettingRow:
    """One row of the output: a setting, its value with secrets masked, and its origin."""

    setting: str
    value: str | None
    origin: str


_TRUST = (
    Annotated[
        bool,
        typer.Option(
            "--trust", help="Trust the folder of this cruddur.toml, although other users own it or can write to it."
        ),
    ],
    False,
)


@command(shows=True, table=True, handles=True, also={"trust": _TRUST})
def config(s: Settings) -> None:
    """Show each setting, its value and its source. Secrets are masked."""
    embedded = {} if s.prod else _embedded(s)
    rows = [SettingRow("environment", s.environment, "--prod" if s.prod else "default")]
    for known in settings.KNOWN:
        value, origin = getattr(s, known.name), s.origins[known.name]
        if not value and known.name in embedded:
            value, origin = embedded[known.name]
        unset = known.otherwise if not s.prod or known.prod_otherwise is None else known.prod_otherwise
        rows.append(
            SettingRow(known.name, _masked(known, value), origin)
            if value
            else SettingRow(known.name, None, f"not set: {unset}")
        )
    output.show(s, rows, draw=output.settings, record=SettingRow)


def _embedded(s: Settings) -> dict[str, tuple[str, str]]:
    """The settings that the embedded stack provides now: value and origin by name. Starts nothing."""
    from ..local import home, stack
    from .shared import targets

    values = {"home": (str(home.locate()), "default")}
    if url := stack.postgres_url():
        values["connection_url"] = (url, "the embedded PostgreSQL")
    if not s.dynamodb_endpoint and s.aws_endpoint:
        values["dynamodb_endpoint"] = (s.aws_endpoint, "aws_endpoint")
    elif not s.dynamodb_endpoint and targets.answers_as_dynamodb(s.local_dynamodb):
        values["dynamodb_endpoint"] = (s.local_dynamodb, "local_dynamodb")
    if endpoint := stack.aws_endpoint():
        values.setdefault("dynamodb_endpoint", (endpoint, "the embedded AWS"))
        if not s.aws_endpoint and not s.user_pool_id:
            values["cognito_endpoint"] = (endpoint, "the embedded AWS")
    return values


def _masked(known: settings.KnownSetting, value: str) -> str:
    return masking.connection_string(value) if known.is_address else masking.text(value, settings.secrets())
