"""Rows without the people in them: other names and other words, the same keys. Pure, and the same each time.

Keys and ids stay, as rows find each other by them; so they have to be times and hexadecimal numbers, which say nothing
of anybody. Not UUIDs: some tables have ids that are not quite.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from ..times import instant

Item = dict[str, Any]
# An item has at most 400 KB, names and keys included; ours are one byte a character.
_LONGEST = 300_000
_IDS = ("message_group_uuid", "message_uuid", "user_uuid")
_KEPT = ("pk", "sk", *_IDS)
_ID = re.compile(r"[0-9a-fA-F-]{8,64}")
_NAMES = ("user_display_name", "user_handle")
_ADJECTIVES = (
    "amber azure brave brisk calm clear coral crisp dapper eager early fair fleet fresh gentle glad golden green happy"
    " hazel honest humble jolly keen kind lively loyal lucky mellow merry mild noble opal patient placid proud quick"
    " quiet rapid rosy ruby sandy silver sunny swift tidy vivid warm wise witty"
)
_ANIMALS = (
    "badger bear beaver bison crane crow deer dolphin dove duck eagle falcon ferret finch fox gecko goose hare hawk"
    " heron horse ibis jay koala lark lemur lion lynx magpie marten mole moose newt orca otter owl panda parrot"
    " pelican puffin raven robin seal sparrow stork swan tiger toad turtle walrus whale wolf wren yak zebra"
)
_WORDS = (
    "about after again always and any around ask back because before begin book both bridge but call can clear cloud"
    " come could day door down each early even evening ever every far few field find first for found from garden give"
    " go good great had hand have here hill home house how idea into just keep kind know last late leave left letter"
    " light like line little live long look made make many may mean more morning most move much must name near never"
    " new next night not now number off often old on once one only open or other our out over own page paper part"
    " people place plan point question read right river road room round said same say sea see seem set show side small"
    " so some soon sound start still stone stop story street such table take talk tell than that the then there thing"
    " think this time today together too town train tree try turn two under until up very voice wait walk want was"
    " watch water way week well went were what when where which while who why will window with word work world would"
    " write year yes yet you"
)


def of(item: Mapping[str, Any]) -> tuple[Item | None, list[str]]:
    """The row with other people in it, and the names of attributes that were left out, as nobody knows what they hold.

    None for a row of no known entity, and for one whose keys or ids may say who somebody is. A message and the group
    rows that show it as the last one keep the same text.
    """
    if not is_known(item) or not _is_neutral(item):
        return None, []
    kind, _, owner = _text(item, "pk").partition("#")
    group = owner if kind == "MSG" else _text(item, "message_group_uuid")
    changed: Item = {name: {"S": _text(item, name)} for name in _KEPT if "S" in item.get(name, {})}
    who = _text(item, "user_uuid") or _text(item, "user_handle")
    handle, display_name = person(who)
    for name, new in zip(_NAMES, (display_name, handle), strict=True):
        if "S" in item.get(name, {}):
            changed[name] = {"S": new if _text(item, name) else ""}
    if "S" in item.get("message", {}):
        changed["message"] = {"S": text(f"{group} {_text(item, 'sk')}", len(_text(item, "message")))}
    # In the order that they had, so that a file of them looks like one of the originals.
    return {name: changed[name] for name in item if name in changed}, [name for name in item if name not in changed]


def is_known(item: Mapping[str, Any]) -> bool:
    """Whether a row is a message or a message group."""
    return _text(item, "pk").startswith(("MSG#", "GRP#"))


def _is_neutral(item: Mapping[str, Any]) -> bool:
    """Whether keys and ids are times and numbers: a table may hold an address where an id should be."""
    ids = [_text(item, "pk").partition("#")[2], *(_text(item, name) for name in _IDS if _text(item, name))]
    return instant(_text(item, "sk")) is not None and all(map(_ID.fullmatch, ids))


def person(user_uuid: str) -> tuple[str, str]:
    """Another handle and display name for somebody, always the same ones; two people hardly ever share a handle."""
    digest = blake2b(f"cruddur person {user_uuid}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    adjective, animal = _pick(_ADJECTIVES, digest[0]), _pick(_ANIMALS, digest[1])
    return f"{adjective}{animal}{digest[2:5].hex()}", f"{adjective.title()} {animal.title()}"


def text(seed: str, length: int) -> str:
    """Words that mean nothing, about as long as a text of ``length`` characters: at least the power of two below it,
    and less than twice that. The same for the same seed and class of length, and nothing of the original is in it."""
    if not length:
        return ""
    least = 1 << (length.bit_length() - 1)
    chosen = random.Random(f"cruddur text {seed} {least}")
    wanted = min(chosen.randrange(least, 2 * least), _LONGEST)
    # No word is shorter than two letters and the space behind it.
    words = " ".join(chosen.choices(_WORDS.split(), k=wanted // 3 + 1))
    cut = words[:wanted]
    return (cut[:-1] + "." if wanted > 1 else cut).capitalize()


def _pick(words: str, number: int) -> str:
    split = words.split()
    return split[number % len(split)]


def _text(item: Mapping[str, Any], name: str) -> str:
    found = item.get(name, {}).get("S", "")
    return found if isinstance(found, str) else ""
