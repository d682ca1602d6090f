"""This machine's address as the internet sees it: typed by the user, or answered by services that must agree."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import BadInput, CannotConnect, CruddurError, NotConfigured, Protected, Refused

EVERYWHERE = "0.0.0.0/0"
_HINT = "name the address yourself: --ip ADDRESS"
_ASK = "leave out --ip; two web services are then asked for the address"
_LONGEST = 64  # bytes; an IPv6 address is at most 45 characters
# "IANA IPv4 Special-Purpose Address Registry" and the one for IPv6: no machine on the internet has these. The ranges
# for documentation are left out: AWS takes them, and every example uses them.
_NOT_ON_THE_INTERNET = tuple(
    (ipaddress.ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "private (shared by a provider's customers)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.168.0.0/16", "private"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4 (written as IPv6)"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    )
)


@dataclass(frozen=True)
class Address:
    """A network that a rule can allow, most often of one machine (``/32``, ``/128``), and who said so."""

    network: str
    version: int
    origin: str

    @property
    def kind(self) -> str:
        """``IPv4`` or ``IPv6``: a rule takes only one of the two."""
        return f"IPv{self.version}"


def parse(text: str, *, origin: str, wider: bool = False, anywhere: bool = False) -> Address:
    """The address that ``text`` names: one machine; with ``wider`` also a network, with ``anywhere`` also ``/0``.

    Raises BadInput for a text that is no address (NotConfigured where it was not typed as an option), and for one that
    no machine on the internet has; Protected for ``/0`` without ``anywhere``.
    """
    text = text.strip()
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise _unusable(origin, _why_not(text)) from None
    if network.prefixlen == 0:
        if anywhere:
            return Address(str(network), network.version, origin)
        raise Protected(
            f"{text!r} ({origin}) would allow the whole internet.",
            hint="pass --anywhere to allow every address",
            code="anywhere",
        )
    if "%" in text:
        raise _unusable(origin, f"{text!r} names an interface of this machine, not an address on the internet")
    alone = f"{text.partition('/')[0]}/{network.max_prefixlen}"
    if str(network.network_address) != str(ipaddress.ip_address(text.partition("/")[0])):
        raise _unusable(origin, f"{text!r} has host bits set: the network is {network}, one machine is {alone}")
    for special, kind in _NOT_ON_THE_INTERNET:
        if special.version == network.version and special.overlaps(network):
            verb = "is" if network.num_addresses == 1 else "holds addresses that are"
            raise _unusable(origin, f"{text!r} {verb} {kind}, and the database sees your network's public address")
    if network.num_addresses > 1 and not wider:
        raise _unusable(origin, f"{text!r} is a whole network; a network is allowed only with --ip")
    return Address(str(network), network.version, origin)


def _why_not(text: str) -> str:
    head, slash, prefix = text.partition("/")
    if not head:
        return "the address is empty"
    try:
        longest = ipaddress.ip_address(head).max_prefixlen
    except ValueError:
        return f"{text[:80]!r} is not an IPv4 or IPv6 address"
    return f"/{prefix} is not a prefix: one machine is {head}/{longest}" if slash else f"{text!r} is not an address"


def _unusable(origin: str, why: str) -> CruddurError:
    typed = origin.startswith("-")
    kind = BadInput if typed else NotConfigured
    return kind(f"{origin}: {why}.", hint=_ASK if typed else _HINT, code="bad_address")


def detect(urls: Sequence[str], *, timeout_s: float = 5.0) -> Address:
    """The address that every one of the services at ``urls`` says this machine has, asked at once and directly.

    No proxy is used, because PostgreSQL's connection uses none either: a proxy's address would allow every machine
    behind it. Redirects are not followed. Raises NotConfigured for fewer than two services or one without HTTPS,
    CannotConnect where one does not answer in ``timeout_s``, Refused where an answer is no address or they disagree.
    """
    hosts = [_check_url(url) for url in urls]
    if len(set(hosts)) < 2:
        raise NotConfigured(
            "The address must be confirmed by two different services; CRUDDUR_ADDRESS_SERVICES names "
            f"{len(set(hosts))}.",
            hint=_HINT,
        )
    answers = _ask_all(urls, timeout_s)
    said = [
        f"{host} {answer if isinstance(answer, CruddurError) else f'says {answer}'}"
        for host, answer in zip(hosts, answers, strict=True)
    ]
    problems = [answer for answer in answers if isinstance(answer, CruddurError)]
    if problems:
        silent = any(isinstance(problem, CannotConnect) for problem in problems)
        raise (CannotConnect if silent else Refused)(
            f"This machine's address could not be confirmed: {', '.join(said)}.", hint=_HINT, code="address_unknown"
        )
    if len(set(answers)) > 1:
        raise Refused(
            f"The services do not agree on this machine's address: {', '.join(said)}.",
            hint=_HINT,
            code="address_disagreement",
        )
    return parse(str(answers[0]), origin=" and ".join(hosts))


def _check_url(url: str) -> str:
    """The host and port of a service. Plain HTTP only on this machine: elsewhere another machine could answer.

    Raises NotConfigured.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if host and parts.scheme == "https":
            return f"{host}:{port}" if port else host
        if parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback):
            return f"{host}:{port}" if port else host
    except ValueError:
        pass
    raise NotConfigured(
        f"CRUDDUR_ADDRESS_SERVICES: {url[:80]!r} is not the https:// URL of a service that answers with an address.",
        hint=_HINT,
    )


def _ask_all(urls: Sequence[str], timeout_s: float) -> list[str | CruddurError]:
    """The address that each service gave, or why there is none.

    In threads that are not waited for longer than that: no socket's time-out bounds a name server or a slow trickle.
    """
    import threading
    import time

    answers: dict[int, str | CruddurError] = {}

    def ask(number: int, url: str) -> None:
        try:
            answers[number] = _ask(url, timeout_s)
        except CruddurError as error:
            answers[number] = error

    threads = [threading.Thread(target=ask, args=pair, daemon=True) for pair in enumerate(urls)]
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    silent = CannotConnect("did not answer in time")
    return [answers.get(number, silent) for number in range(len(urls))]


def _ask(url: str, timeout_s: float) -> str:
    import http.client

    parts = urlsplit(url)
    secure = parts.scheme == "https"
    connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(
        parts.hostname or "", parts.port, timeout=timeout_s
    )
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"User-Agent": "cruddur", "Accept": "text/plain"})
        # Closed by itself: of an answer that is not read to its end the connection no longer knows.
        with connection.getresponse() as response:
            if response.status != 200:
                raise Refused(f"answered {response.status} instead of an address")
            body = response.read(_LONGEST + 1)
    except TimeoutError:
        raise CannotConnect("did not answer in time") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or type(error).__name__
        raise CannotConnect(f"cannot be reached ({reason})") from None
    finally:
        connection.close()
    try:
        if len(body) > _LONGEST:
            raise ValueError
        return str(ipaddress.ip_address(body.decode("ascii").strip()))
    except ValueError:
        shown = body[:_LONGEST].decode("ascii", "replace").strip()
        raise Refused(f"answered {shown[:32]!r}, which is not an address") from None
