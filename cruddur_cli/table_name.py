"""The name of the DynamoDB table: checked early where it was typed, and else by the command that uses it."""

from __future__ import annotations

import re

from .errors import BadInput, NotConfigured

OPTION = "--table"
RESERVED = {"prod", "production"}


def check(name: str, origin: str) -> None:
    """Raise for a name that DynamoDB would refuse or that is the word ``prod``.

    That is BadInput where it was typed, and NotConfigured where a file or a variable says it.
    """
    kind = BadInput if origin in {OPTION, "option"} else NotConfigured
    if name.lower() in RESERVED:
        raise kind(
            f"{name!r} ({origin}) is the scripts' word for production, not a table name.",
            hint="name production with --prod",
        )
    # Naming rules for tables: "Naming rules in Amazon DynamoDB".
    if not re.fullmatch(r"[a-zA-Z0-9_.-]{3,255}", name):
        raise kind(f"{name!r} ({origin}) cannot be a table name: 3 to 255 letters, digits, '_', '-' and '.'.")
