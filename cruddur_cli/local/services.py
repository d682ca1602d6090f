"""Finds what has changed in the emulator's memory, and restores it at a start.

It stores results, not requests. So the ids, times and sequence numbers that the emulator generated are the same after a
start, and reading a result takes a tenth of the time of the request. The names with an underscore are private ones of
the pinned ministack; tests pin those that are used.
"""

from __future__ import annotations

import copy
import json
import marshal
import re
import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from . import home as homes
from .generations import Contents

DYNAMODB = "dynamodb"
COGNITO = "cognito"
# DynamoDB's stores other than its tables, by their names without the underscore.
STORES = {"tags", "ttl_settings", "pitr_settings", "kinesis_destinations", "contributor_insights", "backups"}
STORES |= {"resource_policies", "exports", "imports"}
# Fields of a table that are computed at a start, or stored item by item.
DERIVED = {"items", "_index_members", "ItemCount", "TableSizeBytes"}

_SEQUENCE_NUMBER = re.compile(rb'"SequenceNumber":\s*"([0-9]+)"')
# The path of a document in a service's state.
Place = tuple[str, ...]
# The id of a pool, and the name of a user in it.
User = tuple[str, str]


@dataclass
class _Stream:
    """A stream: its name, its list of records, and the position after the last reported record."""

    name: str
    records: list[Any]
    reported: int


class _Watched(dict[Any, Any]):
    """A dictionary that remembers which keys were set."""

    def __init__(self, content: Mapping[Any, Any]) -> None:
        super().__init__(content)
        self.changed: list[Any] = []

    def __setitem__(self, key: Any, value: Any) -> None:
        self.changed.append(key)
        super().__setitem__(key, value)


class _Records(list[Any]):
    """The records of a stream. A record from the disk stays JSON until it is read by its index; then it is parsed.

    Iteration yields only the sequence number of a record that is still JSON. ministack iterates to find the index of a
    sequence number.
    """

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        record = super().__getitem__(place)
        if isinstance(record, bytes):
            record = self[place] = json.loads(record)
        return record

    def __iter__(self) -> Iterator[Any]:
        for place in range(len(self)):
            record = super().__getitem__(place)
            # An item cannot contain this text: its values have a type around them, and quotes in them are escaped.
            number = _SEQUENCE_NUMBER.search(record) if isinstance(record, bytes) else None
            yield {"dynamodb": {"SequenceNumber": number[1].decode()}} if number else self[place]


class _NoCopy:
    """The module ``copy``, without copies while this thread only reads a state: they would take ten times as long."""

    def __init__(self) -> None:
        self.reading = threading.local()

    def deepcopy(self, value: Any) -> Any:
        return value if getattr(self.reading, "on", False) else copy.deepcopy(value)

    def __getattr__(self, name: str) -> Any:
        return getattr(copy, name)


def items_after(
    items: list[Any], start: Mapping[str, Any], table: Mapping[str, Any], *, value_of: Callable[[Any], str]
) -> list[Any]:
    """The items after the key ``start``; ``items`` are sorted by key, as in a scan.

    It replaces ministack's function, which compares every item with the key for each page: two thirds of the time of a
    scan of a large table.
    """
    names = [name for name in (table["pk_name"], table["sk_name"]) if name]

    def key(item: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(value_of(item.get(name, {})) for name in names)

    return items[bisect_right(items, key(start), key=key) :]


class Services:
    """The data of the emulator, and what of it has been reported as changed."""

    def __init__(self, app: Any, state_folder: Path) -> None:
        """Wrap DynamoDB's functions that store and remove items, so that changed items are known."""
        self.restored = False
        self._app = app
        self._state_folder = state_folder
        self._dynamodb = app._get_module(DYNAMODB)
        self._fingerprints: dict[str, dict[Place, int]] = {}
        self._tables: dict[tuple[str, ...], Any] = {}
        self._streams: dict[Any, _Stream] = {}
        self._counter = 0
        self._stored: dict[int, tuple[Any, dict[tuple[str, str], None]]] = {}
        self._key_times: list[int] = []
        self._names: dict[Any, str] = {}
        self._no_copy = _NoCopy()
        self._tokens = self._dynamodb._txn_idempotency._data = _Watched(self._dynamodb._txn_idempotency._data)
        for name in ("_set_item", "_remove_item"):
            setattr(self._dynamodb, name, self._recording(getattr(self._dynamodb, name)))
        self._dynamodb._apply_exclusive_start_key_scan = partial(items_after, value_of=self._dynamodb._extract_key_val)

    def restore(self, contents: Contents) -> None:
        """Load saved data into the emulator, which is empty."""
        self.restored = True
        documents: dict[str, dict[Place, str]] = {}
        for key, text in contents.documents.items():
            service, *path = json.loads(key)
            documents.setdefault(service, {})[tuple(path)] = text
        self._restore_keys(documents.pop("keys", {}))
        self._restore_tables(documents.pop(DYNAMODB, {}), contents)
        for service, parts in documents.items():
            if service in self._app._state_map:
                self.load(service, self._decode(json.dumps(_assembled(parts))))
        self.changes()

    def load(self, service: str, state: Any) -> None:
        """Load the state of one service, in the form that the service saves."""
        self.restored = True
        if state:
            self._app._get_module(self._app._state_map[service]).load_persisted_state(state)

    def contents(self) -> Contents:
        """All data. It shares the emulator's own objects, so it has to be written before the next request."""
        self._fingerprints, self._tables, self._streams, self._counter, self._key_times = {}, {}, {}, 0, []
        contents = Contents()
        contents.apply(self.changes())
        return contents

    def stored(self, *, tables: bool = False) -> dict[str, Any]:
        """The changes of DynamoDB since the last call; those of tables' settings only with ``tables``."""
        items, emptied, is_new_table = self._items()
        records, is_new_stream = self._records()
        change: dict[str, Any] = {"emptied": emptied, "items": items, "records": records}
        change = {name: value for name, value in change.items() if value}
        tables = tables or is_new_table or is_new_stream
        documents = self._differences(DYNAMODB, self._table_documents) if tables else {}
        for key in self._tokens.changed:
            if key in self._tokens:
                documents[_key(DYNAMODB, "tokens", *key)] = json.dumps(self._tokens[key], separators=(",", ":"))
        self._tokens.changed.clear()
        if documents:
            change["documents"] = documents
        if self._counter != self._dynamodb._stream_seq_counter:
            change["counter"] = self._counter = self._dynamodb._stream_seq_counter
        return change

    def changes(self, services: set[str] | None = None, *, user: User | None = None) -> dict[str, Any]:
        """The changes since the last call: of ``services``, other than DynamoDB, or of all services including it.

        ``user`` is the only user that may have changed, if known: comparing a thousand users takes milliseconds. Raises
        TypeError or ValueError for a state that cannot be written.
        """
        change = self.stored(tables=True) if services is None else {}
        only = self._place_of(user) if user else None
        documents: dict[str, str | None] = {}
        for service, get_state in self._app._build_persistence_save_dict().items():
            if service != DYNAMODB and (services is None or service in services):
                current = partial(self._service_documents, service, get_state, only)
                documents |= self._differences(service, current, only)
        if (services is None or COGNITO in services) and (written := self._keys_written()) != self._key_times:
            documents |= self._differences("keys", self._key_documents)
            self._key_times = written
        if documents:
            change["documents"] = change.get("documents", {}) | documents
        return change

    def known(self) -> set[str]:
        """The names of all services that have a state."""
        return set(self._app._state_map)

    def other_services(self) -> set[str]:
        """The names of the services in use, other than DynamoDB and Cognito."""
        return set(self._app._build_persistence_save_dict()) - {DYNAMODB, COGNITO}

    def _recording(self, function: Any) -> Any:
        def recorded(table: Any, partition: str, sort: str, *rest: Any) -> Any:
            # A reference to the table: otherwise a deleted table's id could be given to another one.
            self._stored.setdefault(id(table), (table, {}))[1][partition, sort] = None
            return function(table, partition, sort, *rest)

        return recorded

    def _items(self) -> tuple[dict[str, Any], list[str], bool]:
        """The items that were stored, or deleted (None); the tables to empty first; and whether tables have changed."""
        items: dict[str, Any] = {}
        emptied = []
        is_new = False
        tables = self._dynamodb._tables._data
        # The emulator's thread that deletes expired items holds this lock meanwhile.
        with self._dynamodb._lock:
            stored, self._stored = self._stored, {}
            for key in self._tables.keys() - tables.keys():
                del self._tables[key]
                emptied.append("/".join(key))
                is_new = True
            for key, table in list(tables.items()):
                current = table["items"]
                if key not in self._tables or self._tables[key] is not current:
                    # A new table, or one whose items were replaced: a transaction rolled back, a table restored.
                    if key in self._tables:
                        emptied.append("/".join(key))
                    self._tables[key] = current
                    is_new = True
                    if current:
                        items["/".join(key)] = current
                elif id(table) in stored:
                    rows: dict[str, dict[str, Any]] = {}
                    items["/".join(key)] = rows
                    for partition, sort in stored[id(table)][1]:
                        rows.setdefault(partition, {})[sort] = current.get(partition, {}).get(sort)
        return items, emptied, is_new

    def _records(self) -> tuple[dict[str, Any], bool]:
        """The new records of each stream, and whether a stream is new."""
        new_records: dict[str, Any] = {}
        is_new = False
        for key, records in list(self._dynamodb._stream_records._data.items()):
            trimmed = self._dynamodb._stream_trimmed._data.get(key, 0)
            stream = self._streams.get(key)
            if stream is None or stream.records is not records:
                table: dict[str, str] = self._dynamodb._tables._data.get(key, {})
                name = table.get("LatestStreamArn") or "/".join(key)
                stream = self._streams[key] = _Stream(name, records, trimmed)
                is_new = True
            end = trimmed + len(records)
            if end > stream.reported:
                unreported = slice(stream.reported - trimmed, None)
                new_records[stream.name] = (stream.reported, list.__getitem__(records, unreported))
                stream.reported = end
        return new_records, is_new

    def _table_documents(self) -> Iterator[tuple[Place, Any]]:
        for key, table in list(self._dynamodb._tables._data.items()):
            yield ("tables", *key), {name: value for name, value in table.items() if name not in DERIVED}
        for store in STORES:
            for key, value in list(getattr(self._dynamodb, f"_{store}")._data.items()):
                yield (store, *key), value
        named = {id(stream.records): stream.name for stream in self._streams.values()}
        for key, stream in list(self._streams.items()):
            if self._dynamodb._stream_records._data.get(key) is stream.records:
                yield ("live_streams", *key), {"stream": stream.name}
        for key, closed in list(self._dynamodb._closed_streams._data.items()):
            header = {name: value for name, value in closed.items() if name != "records"}
            yield ("closed_streams", *key), header | {"stream": named.get(id(closed["records"]), key[2])}

    def _place_of(self, user: User) -> Place | None:
        """The path of the user's document; None if the name is an alias of a user."""
        pool_id, name = user
        pools = self._app._get_module(self._app._state_map[COGNITO])._user_pools
        for key, pool in list(pools._data.items()):
            place = ("user_pools", self._name(pools, key), name)
            if key[-1] == pool_id and (name in pool["_users"] or place in self._fingerprints.get(COGNITO, {})):
                return place
        return None

    def _name(self, scoped: Any, key: Any) -> str:
        """The key of an entry in a store, in the form that the emulator saves."""
        if known := self._names.get((type(scoped), key)):
            return known
        shape = type(scoped)()
        shape._data = {key: None}
        (name,) = json.loads(self._encode(shape))["data"]
        self._names[type(scoped), key] = str(name)
        return str(name)

    def _service_documents(self, service: str, get_state: Any, only: Place | None) -> Iterator[tuple[Place, Any]]:
        for store, value in self._state(service, get_state).items():
            entries = getattr(value, "_data", None)
            if entries is None:
                yield (store,), value
                continue
            yield (store,), type(value)()
            for key, entry in list(entries.items()):
                name = self._name(value, key)
                if not isinstance(entry, dict) or not isinstance(users := entry.get("_users"), dict):
                    yield (store, name), entry
                    continue
                yield (store, name), entry | {"_users": {}}
                if only is None:
                    for user, attributes in list(users.items()):
                        yield (store, name, user), attributes
                elif only[:2] == (store, name) and only[2] in users:
                    yield only, users[only[2]]

    def _state(self, service: str, get_state: Any) -> dict[str, Any]:
        module = self._app._get_module(self._app._state_map[service])
        if service == COGNITO:
            module.copy = self._no_copy
        self._no_copy.reading.on = True
        try:
            # A service that could not be imported returns None.
            return get_state() or {}
        finally:
            self._no_copy.reading.on = False

    def _keys_written(self) -> list[int]:
        """The times when the folders of key files last changed, in nanoseconds; 0 for a missing folder."""
        folders = (self._state_folder, self._state_folder / "cognito-pool-keys")
        return [folder.stat().st_mtime_ns if folder.exists() else 0 for folder in folders]

    def _key_documents(self) -> Iterator[tuple[Place, Any]]:
        for path in sorted(self._state_folder.rglob("*.pem")):
            yield (str(path.relative_to(self._state_folder)),), path.read_text()

    def _differences(
        self, service: str, documents: Callable[[], Iterator[tuple[Place, Any]]], only: Place | None = None
    ) -> dict[str, str | None]:
        """The documents that have changed since they were reported; None for a deleted one.

        With ``only``, the documents of other users are not compared.
        """
        fingerprints = self._fingerprints.setdefault(service, {})
        seen = set()
        different: dict[str, str | None] = {}
        for place, value in _unchanged(documents):
            seen.add(place)
            fingerprint = self._fingerprint(value)
            if fingerprints.get(place) != fingerprint:
                fingerprints[place] = fingerprint
                if service == DYNAMODB:
                    different[_key(service, *place)] = json.dumps(value, separators=(",", ":"))
                else:
                    different[_key(service, *place)] = self._encode(value)
        for place in fingerprints.keys() - seen:
            if only is None or len(place) < len(only) or place == only:
                del fingerprints[place]
                different[_key(service, *place)] = None
        return different

    def _fingerprint(self, value: Any) -> int:
        try:
            # Version 2 of marshal has no references, so equal values give equal bytes.
            return hash(marshal.dumps(value, 2))
        except ValueError:
            return hash(self._encode(value))

    def _restore_keys(self, documents: Mapping[Place, str]) -> None:
        """Write the keys that sign tokens into the files that Cognito reads when it is imported."""
        for (name, *_), text in documents.items():
            path, content = self._state_folder / name, json.loads(text)
            if not path.exists() or path.read_text(errors="replace") != content:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                homes.write(path, content)

    def _restore_tables(self, documents: Mapping[Place, str], contents: Contents) -> None:
        dynamodb = self._dynamodb
        scoped = type(dynamodb._tables)
        state: dict[str, Any] = {store: scoped() for store in ("tables", *STORES)}
        live: dict[Any, str] = {}
        for (store, *key), text in documents.items():
            # Plain JSON, without the emulator's marks for bytes and the like: an attribute may have the name of a mark.
            value = json.loads(text)
            if store == "tables":
                value["items"] = defaultdict(dict, contents.items.get("/".join(key), {}))
            if store in state:
                state[store]._data[tuple(key)] = value
            elif store == "live_streams":
                live[tuple(key)] = value["stream"]
            elif store == "closed_streams":
                position, records = contents.streams.get(value.pop("stream"), (value["trimmed"], []))
                dynamodb._closed_streams._data[tuple(key)] = value | {
                    "records": _Records(records),
                    "trimmed": position,
                }
            elif store == "tokens":
                dict.__setitem__(self._tokens, tuple(key), value)
        dynamodb.load_persisted_state(state)
        for table in dynamodb._tables._data.values():
            dynamodb._update_counts(table)
        for live_key, stream in live.items():
            position, records = contents.streams.get(stream, (0, []))
            dynamodb._stream_records._data[live_key] = _Records(records)
            dynamodb._stream_trimmed._data[live_key] = position
        dynamodb._stream_seq_counter = contents.counter

    @staticmethod
    def _encode(value: Any) -> str:
        from ministack.core import persistence  # type: ignore[import-untyped]

        return json.dumps(value, default=persistence._json_default, separators=(",", ":"))

    @staticmethod
    def _decode(text: str) -> Any:
        from ministack.core import persistence

        return json.loads(text, object_hook=persistence._json_object_hook)


def _unchanged(documents: Callable[[], Iterator[tuple[Place, Any]]]) -> list[tuple[Place, Any]]:
    """All documents of one moment: collected again if one of the emulator's threads changes them meanwhile."""
    for _ in range(100):
        with suppress(RuntimeError):
            return list(documents())
    return list(documents())


def _key(*parts: str) -> str:
    return json.dumps(parts, separators=(",", ":"))


def _assembled(documents: Mapping[Place, str]) -> dict[str, Any]:
    """A service's state, still as JSON, from its documents."""
    state: dict[str, Any] = {}
    for (store, *path), text in documents.items():
        value = json.loads(text)
        if not path:
            state.setdefault(store, value)
        elif len(path) == 1:
            state[store]["data"][path[0]] = value
        else:
            state[store]["data"][path[0]]["_users"][path[1]] = value
    return state
