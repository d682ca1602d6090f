"""``cruddur ddb start-conversation`` and ``send-message``: a message and both group rows, or nothing."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from .. import output, seed_files
from ..dynamodb import message_ids, sending
from ..dynamodb.client import DynamoDB
from ..dynamodb.conversation import Person
from ..dynamodb.sending import Sent
from ..errors import BadInput, CannotConnect, CruddurError
from ..output.text import counted, printable
from ..postgres import users
from ..settings import SEEDED_GROUP, Settings
from . import stores
from .options import command

# How much of the conversation is shown below a new message.
_SHOWN = 5
# What one argument of a command may hold on Linux (MAX_ARG_STRLEN), less some for the others.
_LONGEST_ARGUMENT = 100_000
# Failures after which nobody knows whether the message is there, or which pass.
_REPEATABLE = {"throttled", "busy"}

Text = Annotated[str, typer.Argument(metavar="TEXT", help="What to say; - reads it from standard input.")]
Sender = Annotated[
    str | None, typer.Option("--from", metavar="HANDLE", help="Who says it; else CRUDDUR_MY_HANDLE, else andrewbrown.")
]
MessageUuid = Annotated[
    str | None, typer.Option("--message-uuid", metavar="UUID", help="Its id: sent again with it, it is stored once.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to their group."""
    for body in (start_conversation, send_message):
        command(app, shows=True, changes=True, table=True, explains=True)(body)


def start_conversation(
    s: Settings,
    text: Text,
    receiver: Annotated[str, typer.Option("--to", metavar="HANDLE", help="To whom.")],
    sender: Sender = None,
    message_uuid: MessageUuid = None,
) -> None:
    """Send the first message to somebody. Where the two have a conversation, it goes on.

    cruddur ddb start-conversation --from londo --to altbrown 'Shall we talk?'
    """
    said = _read(text)
    mine, other = _people(s, said, sender, receiver)
    assert other is not None
    again = ["start-conversation", "--from", sender or s.my_handle, "--to", receiver]
    with _opened(s, again, text, said, message_uuid) as dynamodb:
        sent = sending.start(dynamodb, mine, other, said, message_uuid=message_uuid, dry_run=s.dry_run)
        _show(s, dynamodb, sent, mine)


def send_message(
    s: Settings,
    text: Text,
    group: Annotated[str | None, typer.Option("--group", metavar="GROUP", help="In which conversation.")] = None,
    receiver: Annotated[
        str | None, typer.Option("--to", metavar="HANDLE", help="In the conversation with this person.")
    ] = None,
    sender: Sender = None,
    message_uuid: MessageUuid = None,
) -> None:
    """Add a message to a conversation: --group, or the one with --to, else the seeded one.

    echo 'Two lines,
    as they are' | cruddur ddb send-message --from bayko --to andrewbrown -
    """
    if group is not None and receiver is not None:
        raise BadInput("--group and --to name two conversations: give one of them.")
    if receiver is None and group is None:
        group = SEEDED_GROUP
    said = _read(text)
    sending.check(said, group=group)
    mine, other = _people(s, said, sender, receiver)
    where = ["--to", receiver] if receiver is not None else ["--group", str(group)]
    again = ["send-message", "--from", sender or s.my_handle, *where]
    with _opened(s, again, text, said, message_uuid) as dynamodb:
        sent = sending.send(
            dynamodb, mine, said, group=group, receiver=other, message_uuid=message_uuid, dry_run=s.dry_run
        )
        _show(s, dynamodb, sent, mine)


def _read(text: str) -> str:
    """The text itself, or standard input's, without the line end that ``echo`` adds. Raises BadInput."""
    if text != "-":
        return text
    if output.is_terminal(sys.stdin):
        output.tell("what to say, then Ctrl-D:")
    content, source = seed_files.given("-")
    try:
        said = content.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{source} is not UTF-8 text (byte {error.start + 1}).", code="not_text") from error
    return said.removesuffix("\n").removesuffix("\r") if said.endswith("\n") else said


def _people(s: Settings, said: str, sender: str | None, receiver: str | None) -> tuple[Person, Person | None]:
    """Who sends and, where it was said, to whom; the text is looked at first. Raises BadInput, NotFound."""
    sending.check(said)
    with stores.postgres(s) as conn:
        mine = _person(users.find(conn, sender or s.my_handle))
        return mine, None if receiver is None else _person(users.find(conn, receiver))


def _person(user: users.User) -> Person:
    return Person(user.uuid, user.handle, user.display_name)


def _show(s: Settings, dynamodb: DynamoDB, sent: Sent, mine: Person) -> None:
    """What was done, and the conversation's last lines; in a dry run, the message below those that are there."""
    lines = sending.last_lines(dynamodb, sent, limit=_SHOWN)
    would = "would be " if s.dry_run else ""
    if sent.started:
        output.note(s, f"conversation {sent.message_group_uuid} {would}started")
    if not sent.written:
        output.note(s, f"message {sent.message.message_uuid} was stored before; nothing was sent twice")
    if sent.moved.repaired and not sent.started:
        output.note(s, f"{counted(sent.moved.repaired, 'group row')}, lost or doubled, {would}repaired")
    output.show(
        s,
        lines,
        draw=output.chat(mine.handle),
        meter=dynamodb.meter,
        extra={
            "message_group_uuid": sent.message_group_uuid,
            "message_uuid": sent.message.message_uuid,
            "written": int(sent.written),
            "moved": sent.moved.moved,
            "unchanged": sent.moved.unchanged,
            "repaired": 0 if sent.started else sent.moved.repaired,
            "started": sent.started,
            "dry_run": s.dry_run,
        },
    )


@contextmanager
def _opened(s: Settings, again: list[str], text: str, said: str, message_uuid: str | None) -> Iterator[DynamoDB]:
    """The store that a message goes to; a failure says how to send it again."""
    # Where the store cannot be asked whose it is, nothing was sent yet, and any id will do.
    unsent = message_uuid or message_ids.generate(datetime.now(UTC))
    with ExitStack() as stack:
        with _repeatable(s, again, text, said, otherwise=unsent):
            dynamodb = stack.enter_context(stores.dynamodb(s, changes=True))
        with _repeatable(s, again, text, said):
            yield dynamodb


@contextmanager
def _repeatable(s: Settings, again: list[str], text: str, said: str, *, otherwise: str | None = None) -> Iterator[None]:
    """A failure that passes, or after which nobody knows whether the message is there, says how to send it again.

    That is by the message's id, ``otherwise`` where it has none yet.
    """
    try:
        yield
    except CruddurError as error:
        uuid = error.fields.get("message_uuid", otherwise)
        if uuid is not None and not s.dry_run and (isinstance(error, CannotConnect) or error.code in _REPEATABLE):
            if error.hint and error.code not in _REPEATABLE:
                error.details = "\n".join(filter(None, (error.details, error.hint)))
            error.hint = _again(s, again, text, said, str(uuid))
            error.fields["message_uuid"] = uuid
        raise


def _again(s: Settings, again: list[str], text: str, said: str, uuid: str) -> str:
    """The whole command with the message's id, ready to paste: it stores the message once, whatever happened before."""
    options = ["--message-uuid", uuid]
    if s.origins["table"] == "--table":
        options += ["--table", s.table]
    if s.output != "table":
        options += ["-o", s.output]
    options += ["--prod"] if s.prod else []
    from_stdin = text == "-" and ("\0" in said or len(said.encode()) > _LONGEST_ARGUMENT)
    words = ["cruddur", "ddb", *again, *options, *(["-"] if from_stdin else ["--", said])]
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """A word for a shell; what a terminal does not show as it is, in bash's and zsh's $'…' form."""
    if word == "-" or printable(word, keep="\n\t") == word:
        return shlex.quote(word)
    shown = (
        char if printable(char) == char else "".join(f"\\x{byte:02x}" for byte in char.encode())
        for char in word.replace("\\", "\\\\").replace("'", "\\'")
    )
    return f"$'{''.join(shown)}'"
