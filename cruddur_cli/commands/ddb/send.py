"""``cruddur ddb start-conversation`` and ``send-message``: write a message and both group rows, or nothing."""

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


# How many messages of the conversation are shown, with the new one.
_SHOWN = 5
# The options that name the two people here, instead of --my-handle and --other-handle.
_OPTIONS = ("--from", "--to")
# Bytes. Linux allows 131,072 in one argument (MAX_ARG_STRLEN); this leaves a margin.
_LONGEST_ARGUMENT = 100_000
# Codes of failures that are temporary, or after which it is unknown whether the message was stored.
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

    message = _read(text)
    mine, other = _people(s, message, sender, receiver)
    assert other is not None
    command_words = ["start-conversation", "--from", _handle(mine), "--to", receiver]
    with _opened(s, command_words, text, message, message_uuid) as dynamodb:
        sent = sending.start(dynamodb, mine, other, message, message_uuid=message_uuid, dry_run=s.dry_run)
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
    message = _read(text)
    sending.check(message, group=group)
    mine, other = _people(s, message, sender, receiver, both=group is None)
    target = ["--group", group] if group is not None else ["--to", _handle(other)]
    command_words = ["send-message", "--from", _handle(mine), *target]
    with _opened(s, command_words, text, message, message_uuid) as dynamodb:
        sent = sending.send(
            dynamodb,
            mine,
            message,
            group=group,
            receiver=other,
            prefer=None if receiver else SEEDED_GROUP,
            message_uuid=message_uuid,
            dry_run=s.dry_run,
        )
        _show(s, dynamodb, sent, mine)


def _read(text: str) -> str:
    """The message: the text, or standard input without the line end that ``echo`` adds. Raises BadInput."""
    if text != "-":
        return text
    if output.is_terminal(sys.stdin):
        output.tell("type the message, then press Ctrl-D:")
    content, source = seed_files.given("-")
    try:
        message = content.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{source} is not UTF-8 text (byte {error.start + 1}).", code="not_text") from error
    return message.removesuffix("\n").removesuffix("\r") if message.endswith("\n") else message


def _people(
    s: Settings, message: str, sender: str | None, receiver: str | None, *, both: bool = False
) -> tuple[Person, Person | None]:
    """The sender and, if named, the receiver. The message is checked first. Raises BadInput, NotFound.

    With ``both`` there is always a receiver: the other person of the settings, or you if that person is the sender.
    """
    from ...dynamodb.conversations import send as sending
    from ..shared import connections, people, targets

    sending.check(message)
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
    """Show the result, and the last messages of the conversation; in a dry run with the message that would be sent."""
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
def _opened(
    s: Settings, command_words: list[str], text: str, message: str, message_uuid: str | None
) -> Iterator[DynamoDB]:
    """The message store, opened. The hint of a failure is the command that sends the message again."""
    from ...dynamodb.conversations import message_ids
    from ..shared import connections

    # Where the store cannot be opened, nothing was sent yet, so the hint may have any id.
    new_uuid = message_uuid or message_ids.generate(times.now())
    with ExitStack() as stack:
        with _with_repeat_hint(s, command_words, text, message, otherwise=new_uuid):
            dynamodb = stack.enter_context(connections.dynamodb(s, changes=True))
        with _with_repeat_hint(s, command_words, text, message):
            yield dynamodb


@contextmanager
def _with_repeat_hint(
    s: Settings, command_words: list[str], text: str, message: str, *, otherwise: str | None = None
) -> Iterator[None]:
    """Replace the hint of a failure with the command that sends the message again.

    It does so for failures that are temporary, or after which it is unknown whether the message was stored. The command
    has the message's id, or ``otherwise`` where the message has none yet.
    """
    try:
        yield
    except CruddurError as error:
        uuid = error.fields.get("message_uuid", otherwise)
        if uuid is not None and not s.dry_run and (isinstance(error, CannotConnect) or error.code in _REPEATABLE):
            details = error.details
            if error.hint and error.code not in _REPEATABLE:
                details = "\n".join(filter(None, (error.details, error.hint)))
            hint = _command_to_repeat(s, command_words, text, message, str(uuid))
            raise error.changed(details=details, hint=hint, fields={"message_uuid": uuid}) from error
        raise


def _command_to_repeat(s: Settings, command_words: list[str], text: str, message: str, uuid: str) -> str:
    """The command with the message's id, ready to paste. Running it twice stores the message once."""
    options = ["--message-uuid", uuid]
    if s.origins["table"] == "--table":
        options += ["--table", s.table]
    if s.output != "table":
        options += ["-o", s.output]
    options += ["--prod"] if s.prod else []
    from_stdin = text == "-" and ("\0" in message or len(message.encode()) > _LONGEST_ARGUMENT)
    words = ["cruddur", "ddb", *command_words, *options, *(["-"] if from_stdin else ["--", message])]
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """A word for the shell; characters that a terminal does not show are escaped with ``$'…'``, for bash and zsh."""
    if word == "-" or printable(word, keep="\n\t") == word:
        return shlex.quote(word)
    escaped = (
        char if printable(char) == char else "".join(f"\\x{byte:02x}" for byte in char.encode())
        for char in word.replace("\\", "\\\\").replace("'", "\\'")
    )
    return f"$'{''.join(escaped)}'"
