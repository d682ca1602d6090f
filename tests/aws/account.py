"""A simulated AWS account on loopback with one security group and one instance, which records every request.

It is as strict as AWS, unlike the emulators. A modified rule loses every field that is not sent, keeps its type, and
must differ from every other rule. An instance changes its state over several answers. Faults are queued by operation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

GROUP, OTHER_GROUP = "sg-0aaaaaaaaaaaaaaa1", "sg-0bbbbbbbbbbbbbbb2"
RULE = "sgr-0000000000000001"
Params = dict[str, str]


@dataclass(frozen=True)
class Entry:
    """A rule as EC2 stores it."""

    rule_id: str = RULE
    group: str = GROUP
    egress: bool = False
    protocol: str = "tcp"
    from_port: int = 5432
    to_port: int = 5432
    ipv4: str | None = "198.51.100.1/32"
    ipv6: str | None = None
    prefix_list: str | None = None
    referenced: str | None = None
    description: str | None = "GITPOD"

    @property
    def source(self) -> tuple[Any, ...]:
        return (self.ipv4, self.ipv6, self.prefix_list, self.referenced)


class Refusal(Exception):
    """An error answer of the service."""

    def __init__(self, code: str, message: str = "injected", status: int = 400) -> None:
        super().__init__(code)
        self.code, self.message, self.status = code, message, status


@dataclass
class Account:
    """The rules and the instance of the account, the requests so far, and the next faults."""

    url: str = ""
    rules: dict[str, Entry] = field(default_factory=lambda: {RULE: Entry()})
    groups: dict[str, str] = field(default_factory=lambda: {GROUP: "cruddur-db", OTHER_GROUP: "web"})
    instances: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, Params]] = field(default_factory=list)
    faults: dict[str, list[Refusal]] = field(default_factory=dict)
    on_modify: Callable[[Entry], Entry | None] = lambda entry: entry
    stale_for: int = 0  # answers after a change that still show what was before: "eventual consistency"
    stale_reads: int = 0
    _before: dict[str, Entry] = field(default_factory=dict)
    page: int = 1000
    slow: dict[str, list[str]] = field(default_factory=dict)

    def empty(self) -> None:
        """Restore the initial state, at the same address."""
        self.__dict__.update(Account(url=self.url).__dict__)

    def put(self, *entries: Entry) -> None:
        for entry in entries:
            self.rules[entry.rule_id] = entry

    def add_instance(self, name: str = "cruddur-db", **more: Any) -> None:
        self.instances[name] = {"status": "available", "engine": "postgres", "groups": [GROUP], **more}

    def fail(self, operation: str, *refusals: Refusal) -> None:
        self.faults.setdefault(operation, []).extend(refusals)

    def operations(self) -> list[str]:
        return [operation for operation, _ in self.asked]

    def sent(self, operation: str) -> list[Params]:
        return [params for asked, params in self.asked if asked == operation]

    def answer(self, params: Params) -> str:
        operation = params.pop("Action")
        params.pop("Version", None)
        self.asked.append((operation, params))
        if self.faults.get(operation):
            raise self.faults[operation].pop(0)
        answers: dict[str, Callable[[Params], str]] = {
            "DescribeSecurityGroupRules": self._describe_rules,
            "ModifySecurityGroupRules": self._modify,
            "DescribeSecurityGroups": self._describe_groups,
            "DescribeDBInstances": self._describe_instances,
            "StartDBInstance": lambda params: self._switch(params, {"stopped"}, ["starting", "available"]),
            "StopDBInstance": lambda params: self._switch(params, {"available"}, ["stopping", "stopped"]),
        }
        return answers[operation](params)

    def _describe_rules(self, params: Params) -> str:
        wanted = _list(params, "SecurityGroupRuleId")
        filters = {params[f"Filter.{n}.Name"]: _list(params, f"Filter.{n}.Value") for n in _numbers(params, "Filter")}
        for rule_id in wanted:
            if not rule_id.startswith("sgr-"):
                raise Refusal("InvalidSecurityGroupRuleId.Malformed", f'Invalid id: "{rule_id}"')
            if rule_id not in self.rules:
                raise Refusal("InvalidSecurityGroupRuleId.NotFound", f"The rule '{rule_id}' does not exist")
        self.stale_reads -= 1
        rules = {**self.rules, **(self._before if self.stale_reads >= 0 else {})}
        found = [
            entry
            for entry in rules.values()
            if (not wanted or entry.rule_id in wanted) and entry.group in filters.get("group-id", [entry.group])
        ]
        start = int(params.get("NextToken", 0))
        token = f"<nextToken>{start + self.page}</nextToken>" if start + self.page < len(found) else ""
        items = "".join(map(_rule_xml, found[start : start + self.page]))
        return f"<securityGroupRuleSet>{items}</securityGroupRuleSet>{token}"

    def _modify(self, params: Params) -> str:
        prefix = "SecurityGroupRule.1."
        old = self.rules.get(params[f"{prefix}SecurityGroupRuleId"])
        if old is None or old.group != params["GroupId"]:
            raise Refusal("InvalidSecurityGroupRuleId.NotFound", "The rule does not exist")
        sent = {
            name.removeprefix(f"{prefix}SecurityGroupRule."): value
            for name, value in params.items()
            if name.startswith(f"{prefix}SecurityGroupRule.")
        }
        if not {"IpProtocol", "FromPort", "ToPort"} <= set(sent):
            raise Refusal("InvalidParameterValue", "Must specify protocol, from and to ports")
        new = Entry(
            rule_id=old.rule_id,
            group=old.group,
            egress=old.egress,
            protocol=sent["IpProtocol"],
            from_port=int(sent["FromPort"]),
            to_port=int(sent["ToPort"]),
            ipv4=sent.get("CidrIpv4"),
            ipv6=sent.get("CidrIpv6"),
            description=sent.get("Description"),
        )
        if [value is None for value in new.source] != [value is None for value in old.source]:
            raise Refusal("InvalidParameterValue", "You may not specify an IPv6 CIDR for an existing IPv4 CIDR rule")
        for other in self.rules.values():
            same = other.group == old.group and other.source == new.source and other.from_port == new.from_port
            if same and other.rule_id != old.rule_id and other.egress == old.egress:
                raise Refusal("InvalidPermission.Duplicate", "The specified rule already exists")
        self._before = {old.rule_id: old}
        self.stale_reads = self.stale_for
        kept = self.on_modify(new)
        if kept is None:
            del self.rules[old.rule_id]
        else:
            self.rules[old.rule_id] = kept
        return "<return>true</return>"

    def _describe_groups(self, params: Params) -> str:
        wanted = _list(params, "GroupId")
        names = _list(params, "Filter.1.Value")
        items = "".join(
            f"<item><groupId>{group}</groupId><groupName>{name}</groupName></item>"
            for group, name in self.groups.items()
            if (not wanted or group in wanted) and (not names or name in names)
        )
        return f"<securityGroupInfo>{items}</securityGroupInfo>"

    def _describe_instances(self, params: Params) -> str:
        name = params.get("DBInstanceIdentifier")
        if name is not None and name not in self.instances:
            raise Refusal("DBInstanceNotFound", f"DBInstance {name} not found.", 404)
        if name and self.slow.get(name):
            self.instances[name]["status"] = self.slow[name].pop(0)
        names = [name] if name else list(self.instances)
        items = "".join(f"<DBInstance>{self._instance_xml(name)}</DBInstance>" for name in names)
        return f"<DescribeDBInstancesResult><DBInstances>{items}</DBInstances></DescribeDBInstancesResult>"

    def _switch(self, params: Params, allowed: set[str], states: list[str]) -> str:
        name = params["DBInstanceIdentifier"]
        if name not in self.instances:
            raise Refusal("DBInstanceNotFound", f"DBInstance {name} not found.", 404)
        if self.instances[name]["status"] not in allowed:
            raise Refusal("InvalidDBInstanceState", f"Instance {name} is not in {' or '.join(allowed)} state.")
        self.instances[name]["status"] = states[0]
        self.slow.setdefault(name, []).extend(states)
        which = "Start" if states[0] == "starting" else "Stop"
        return f"<{which}DBInstanceResult><DBInstance>{self._instance_xml(name)}</DBInstance></{which}DBInstanceResult>"

    def _instance_xml(self, name: str) -> str:
        one = self.instances[name]
        groups = "".join(
            f"<VpcSecurityGroupMembership><VpcSecurityGroupId>{group}</VpcSecurityGroupId></VpcSecurityGroupMembership>"
            for group in one["groups"]
        )
        restart = f"<AutomaticRestartTime>{one['restart']}</AutomaticRestartTime>" if one.get("restart") else ""
        return (
            f"<DBInstanceIdentifier>{name}</DBInstanceIdentifier><DBInstanceStatus>{one['status']}</DBInstanceStatus>"
            f"<Engine>{one['engine']}</Engine><VpcSecurityGroups>{groups}</VpcSecurityGroups>{restart}"
        )


def _numbers(params: Params, prefix: str) -> list[int]:
    return sorted({int(name.split(".")[1]) for name in params if name.startswith(f"{prefix}.")})


def _list(params: Params, prefix: str) -> list[str]:
    return [value for name, value in params.items() if name.rpartition(".")[0] == prefix]


def _rule_xml(entry: Entry) -> str:
    fields = {
        "securityGroupRuleId": entry.rule_id,
        "groupId": entry.group,
        "isEgress": str(entry.egress).lower(),
        "ipProtocol": entry.protocol,
        "fromPort": entry.from_port,
        "toPort": entry.to_port,
        "cidrIpv4": entry.ipv4,
        "cidrIpv6": entry.ipv6,
        "prefixListId": entry.prefix_list,
        "description": entry.description,
    }
    text = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in fields.items() if value is not None)
    if entry.referenced:
        text += f"<referencedGroupInfo><groupId>{entry.referenced}</groupId></referencedGroupInfo>"
    return f"<item>{text}</item>"


@contextmanager
def serving() -> Iterator[Account]:
    """Serve the account at a port of loopback."""
    account = Account()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            params = dict(parse_qsl(body, keep_blank_values=True))
            is_rds = "DBInstance" in params["Action"]
            operation, status = params["Action"], 200
            with lock:
                try:
                    body = f"<{operation}Response>{account.answer(params)}</{operation}Response>"
                except Refusal as refusal:
                    status = refusal.status
                    error = f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message></Error>"
                    body = (
                        f"<ErrorResponse>{error}</ErrorResponse>"
                        if is_rds
                        else f"<Response><Errors>{error}</Errors></Response>"
                    )
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        account.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield account
        finally:
            server.shutdown()


def other(rule_id: str, **changes: Any) -> Entry:
    """A rule that differs from the usual one."""
    return replace(Entry(), rule_id=rule_id, **changes)
