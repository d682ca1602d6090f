"""Find this machine's public address: parse the one that the user typed, or ask web services that must agree."""

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
# "IANA IPv4 Special-Purpose Address Registry", and the one for IPv6: no machine on the internet has such an address.
# The ranges for documentation are not in this list, because examples use them, and AWS accepts them.
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
    """A network for a rule, usually of one machine (``/32``, ``/128``). ``origin`` says where it comes from."""

    network: str
    version: int
    origin: str

    @property
    def kind(self) -> str:
        """``IPv4`` or ``IPv6``. A rule can have only one of the two."""
        return f"IPv{self.version}"


def parse(text: str, *, origin: str, wider: bool = False, anywhere: bool = False) -> Address:
    """The address of ``text``: of one machine; with ``wider`` also of a network, with ``anywhere`` also ``/0``.

    Raises BadInput if the text is not an address, or not one of a machine on the internet; NotConfigured instead if the
    text does not come from an option. Raises Protected for ``/0`` without ``anywhere``.
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
    one_machine = f"{text.partition('/')[0]}/{network.max_prefixlen}"
    if str(network.network_address) != str(ipaddress.ip_address(text.partition("/")[0])):
        raise _unusable(origin, f"{text!r} has host bits set: the network is {network}, one machine is {one_machine}")
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
    """This machine's address, on which all services at ``urls`` must agree. They are asked at the same time.

    No proxy is used, because PostgreSQL's connection uses none, and a proxy's address would allow every machine that
    uses the proxy. Redirects are not followed.

    Raises NotConfigured for fewer than two services or for one without HTTPS, CannotConnect if one does not answer in
    ``timeout_s`` seconds, and Refused if an answer is not an address or the answers differ.
    """
    hosts = [_check_url(url) for url in urls]
    if len(set(hosts)) < 2:
        raise NotConfigured(
            "The address must be confirmed by two different services; CRUDDUR_ADDRESS_SERVICES names "
            f"{len(set(hosts))}.",
            hint=_HINT,
        )
    answers = _ask_all(urls, timeout_s)
    answer_texts = [
        f"{host} {answer if isinstance(answer, CruddurError) else f'says {answer}'}"
        for host, answer in zip(hosts, answers, strict=True)
    ]
    problems = [answer for answer in answers if isinstance(answer, CruddurError)]
    if problems:
        is_unreachable = any(isinstance(problem, CannotConnect) for problem in problems)
        raise (CannotConnect if is_unreachable else Refused)(
            f"This machine's address could not be confirmed: {', '.join(answer_texts)}.",
            hint=_HINT,
            code="address_unknown",
        )
    if len(set(answers)) > 1:
        raise Refused(
            f"The services do not agree on this machine's address: {', '.join(answer_texts)}.",
            hint=_HINT,
            code="address_disagreement",
        )
    return parse(str(answers[0]), origin=" and ".join(hosts))


def _check_url(url: str) -> str:
    """The host and port of a service's URL. Raises NotConfigured if it is not the HTTPS URL of a service.

    HTTP is allowed only for this machine, because another machine could forge an answer over HTTP.
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
    """The answer of each service: its address, or the error. It takes at most ``timeout_s`` seconds.

    Threads are used, and left behind after that time, because a socket's time-out limits neither a name lookup nor an
    answer that arrives slowly.
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
    no_answer = CannotConnect("did not answer in time")
    return [answers.get(number, no_answer) for number in range(len(urls))]


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
        # The connection does not close an answer that was not read to its end, so `with` closes it.
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
