"""``cruddur ddb start-conversation`` and ``send-message``: a message and both group rows, or nothing."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ... import output, times
from ...errors import BadInput, CannotConnect, CruddurError
from ...output.text import counted, printable
from ...settings import SEEDED_GROUP, Settings
from ..shared import completions, seed_files
from ..shared.options import command

if TYPE_CHECKING:
    from ...dynamodb.client import DynamoDB
    from ...dynamodb.conversations.model import Person
    from ...dynamodb.conversations.send import Sent


# How much of the conversation is shown below a new message.
_SHOWN = 5
# What names the two people, instead of --my-handle and --other-handle.
_OPTIONS = ("--from", "--to")
# What one argument of a command may hold on Linux (MAX_ARG_STRLEN), less some for the others.
_LONGEST_ARGUMENT = 100_000
# Failures that pass, or after which it is unknown whether the message was stored.
_REPEATABLE = {"throttled", "busy"}

Text = Annotated[str, typer.Argument(metavar="TEXT", help="The message; - reads it from stdin.")]
Sender = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="HANDLE",
        autocompletion=completions.handles,
        help="The sender's handle. Default: yours, as in `cruddur config`.",
    ),
]
MessageUuid = Annotated[
    str | None,
    typer.Option(
        "--message-uuid",
        metavar="UUID",
        help="Message id. A second command with the same id does not create another message.",
    ),
]


@command(shows=True, changes=True, table=True, explains=True)
def start_conversation(
    s: Settings,
    text: Text,
    receiver: Annotated[
        str, typer.Option("--to", metavar="HANDLE", autocompletion=completions.handles, help="The receiver's handle.")
    ],
    sender: Sender = None,
    message_uuid: MessageUuid = None,
) -> None:
    """Send the first message to a person. If they already have a conversation, the message is added to it.

    cruddur ddb start-conversation --from londo --to altbrown 'Shall we talk?'
    """
    from ...dynamodb.conversations import send as sending

    said = _read(text)
    mine, other = _people(s, said, sender, receiver)
    assert other is not None
    again = ["start-conversation", "--from", _handle(mine), "--to", receiver]
    with _opened(s, again, text, said, message_uuid) as dynamodb:
        sent = sending.start(dynamodb, mine, other, said, message_uuid=message_uuid, dry_run=s.dry_run)
        _show(s, dynamodb, sent, mine)


@command(shows=True, changes=True, table=True, explains=True)
def send_message(
    s: Settings,
    text: Text,
    group: Annotated[
        str | None,
        typer.Option(
            "--group", metavar="GROUP", autocompletion=completions.conversations, help="The conversation's id."
        ),
    ] = None,
    receiver: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="HANDLE",
            autocompletion=completions.handles,
            help="The receiver's handle: use the conversation with this person.",
        ),
    ] = None,
    sender: Sender = None,
    message_uuid: MessageUuid = None,
) -> None:
    """Add a message to a conversation. Name it by its id (--group) or by the other person (--to).

    Without both, the message goes to your conversation with the `other_handle` of `cruddur config`.

    cruddur ddb send-message --from bayko --to andrewbrown 'Yes, at noon.'
    """
    from ...dynamodb.conversations import send as sending

    if group is not None and receiver is not None:
        raise BadInput("--group and --to name two conversations: give one of them.")
    said = _read(text)
    sending.check(said, group=group)
    mine, other = _people(s, said, sender, receiver, both=group is None)
    where = ["--group", group] if group is not None else ["--to", _handle(other)]
    again = ["send-message", "--from", _handle(mine), *where]
    with _opened(s, again, text, said, message_uuid) as dynamodb:
        sent = sending.send(
            dynamodb,
            mine,
            said,
            group=group,
            receiver=other,
            prefer=None if receiver else SEEDED_GROUP,
            message_uuid=message_uuid,
            dry_run=s.dry_run,
        )
        _show(s, dynamodb, sent, mine)


def _read(text: str) -> str:
    """The text itself, or standard input's, without the line end that ``echo`` adds. Raises BadInput."""
    if text != "-":
        return text
    if output.is_terminal(sys.stdin):
        output.tell("type the message, then press Ctrl-D:")
    content, source = seed_files.given("-")
    try:
        said = content.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{source} is not UTF-8 text (byte {error.start + 1}).", code="not_text") from error
    return said.removesuffix("\n").removesuffix("\r") if said.endswith("\n") else said


def _people(
    s: Settings, said: str, sender: str | None, receiver: str | None, *, both: bool = False
) -> tuple[Person, Person | None]:
    """Who sends and, where it was said, to whom; the text is looked at first. Raises BadInput, NotFound.

    With ``both`` there is always a receiver: the other person of the settings, or you if that person sends.
    """
    from ...dynamodb.conversations import send as sending
    from ..shared import connections, people, targets

    sending.check(said)
    at = targets.server(s)
    with connections.postgres(s, at=at) as conn:
        if receiver is not None or not both:
            mine = people.person(conn, sender) if sender is not None else people.me_in(s, conn, at, options=_OPTIONS)
            return mine, None if receiver is None else people.person(conn, receiver)
        if sender is None:
            return people.pair_in(s, conn, at, options=_OPTIONS)
        mine = people.person(conn, sender)
        return mine, people.other_than(s, conn, at, mine)


def _handle(person: Person | None) -> str:
    assert person is not None
    return person.handle or person.uuid


def _show(s: Settings, dynamodb: DynamoDB, sent: Sent, mine: Person) -> None:
    """What was done, and the conversation's last lines; in a dry run, the message below those that are there."""
    from ...dynamodb import schema
    from ...dynamodb.conversations import send as sending

    lines = sending.last_lines(dynamodb, sent, limit=_SHOWN)
    would = "would be " if s.dry_run else ""
    if sent.started:
        output.done(s, f"conversation {sent.message_group_uuid} {would}started")
    if not sent.written:
        output.unchanged(s, f"message {sent.message.message_uuid} was sent before; it was not sent again")
    if sent.moved.repaired and not sent.started:
        output.done(s, f"{counted(sent.moved.repaired, 'missing or duplicate group row')} {would}repaired")
    output.show(
        s,
        lines,
        record=schema.Message,
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
    from ...dynamodb.conversations import message_ids
    from ..shared import connections

    # Where the store cannot be asked whose it is, nothing was sent yet, and any id will do.
    unsent = message_uuid or message_ids.generate(times.now())
    with ExitStack() as stack:
        with _repeatable(s, again, text, said, otherwise=unsent):
            dynamodb = stack.enter_context(connections.dynamodb(s, changes=True))
        with _repeatable(s, again, text, said):
            yield dynamodb


@contextmanager
def _repeatable(s: Settings, again: list[str], text: str, said: str, *, otherwise: str | None = None) -> Iterator[None]:
    """A failure that passes, or after which it is unknown whether the message was stored, says how to send it again.

    That is by the message's id, ``otherwise`` where it has none yet.
    """
    try:
        yield
    except CruddurError as error:
        uuid = error.fields.get("message_uuid", otherwise)
        if uuid is not None and not s.dry_run and (isinstance(error, CannotConnect) or error.code in _REPEATABLE):
            details = error.details
            if error.hint and error.code not in _REPEATABLE:
                details = "\n".join(filter(None, (error.details, error.hint)))
            hint = _again(s, again, text, said, str(uuid))
            raise error.changed(details=details, hint=hint, fields={"message_uuid": uuid}) from error
        raise


def _again(s: Settings, again: list[str], text: str, said: str, uuid: str) -> str:
    """The whole command with the message's id, ready to paste: it stores the message once, even if repeated."""
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
