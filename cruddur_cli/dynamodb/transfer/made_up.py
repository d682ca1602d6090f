"""Invent the people and the texts of an anonymized copy. The same input always gives the same result. Pure."""

from __future__ import annotations

import random
from hashlib import blake2b

from ..schema import Person

# The longest text in characters, which are one byte each here. An item has at most 400 KB, with its names and keys.
_LONGEST = 300_000
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


def person(user_uuid: str) -> tuple[str, str]:
    """An invented handle and display name for a person, always the same ones. Two people rarely get the same handle."""
    digest = blake2b(f"cruddur person {user_uuid}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    adjective, animal = _pick(_ADJECTIVES, digest[0]), _pick(_ANIMALS, digest[1])
    return f"{adjective}{animal}{digest[2:5].hex()}", f"{adjective.title()} {animal.title()}"


def is_person(who: Person) -> bool:
    """Whether a person in a row has the invented handle, or the invented name if the row has no handle."""
    handle, display_name = person(who.uuid)
    return bool(who.uuid) and (who.handle == handle if who.handle else who.display_name == display_name)


def text(seed: str, length: int) -> str:
    """Random words, about as long as a text of ``length`` characters.

    Let N be the largest power of two that is not above ``length``. The result depends only on ``seed`` and N, and has
    at least N and less than 2 N characters, but at most 300,000. It contains nothing of the original.
    """
    if not length:
        return ""
    least = 1 << (length.bit_length() - 1)
    chance = random.Random(f"cruddur text {seed} {least}")
    wanted = min(chance.randrange(least, 2 * least), _LONGEST)
    # Each word has two letters or more, and a space after it.
    cut = " ".join(chance.choices(_WORDS.split(), k=wanted // 3 + 1))[:wanted]
    return (cut[:-1] + "." if wanted > 1 else cut).capitalize()


def _pick(words: str, number: int) -> str:
    split = words.split()
    return split[number % len(split)]
