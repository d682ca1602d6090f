"""This machine's address is parsed from an option or found by services that must agree."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cruddur_cli.aws import address
from cruddur_cli.errors import BadInput, CannotConnect, NotConfigured, Protected, Refused
from tests import faults

Service = Callable[..., tuple[str, list[str]]]


@contextmanager
def serving(body: bytes, status: int, headers: dict[str, str], pause_s: float) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                if not pause_s:
                    self.wfile.write(body)
                for byte in body if pause_s else b"":
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(pause_s)
            except OSError:
                pass

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/ip", asked
        finally:
            server.shutdown()


@pytest.fixture
def service() -> Iterator[Service]:
    """Start an address service on loopback; return its URL and the list of requested paths."""
    with ExitStack() as stack:

        def start(
            body: bytes, *, status: int = 200, headers: dict[str, str] | None = None, pause_s: float = 0
        ) -> tuple[str, list[str]]:
            return stack.enter_context(serving(body, status, headers or {}, pause_s))

        yield start


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        (" 203.0.113.7\r\n", "203.0.113.7/32"),
        ("203.0.113.7/32", "203.0.113.7/32"),
        ("8.8.8.8", "8.8.8.8/32"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("2001:DB8:0:0::1", "2001:db8::1/128"),
        ("2001:db8::1/128", "2001:db8::1/128"),
    ],
)
def test_the_address_of_one_machine_is_parsed(text: str, network: str) -> None:
    found = address.parse(text, origin="GITPOD_IP")
    assert found.network == network
    assert found.kind == ("IPv6" if ":" in network else "IPv4")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("/32", "is empty"),
        ("/33", "is empty"),
        ("203.0.113.7/33", "/33 is not a prefix"),
        ("203.0.113.7/", "is not a prefix"),
        ("203.0.113.7/24", "the network is 203.0.113.0/24, one machine is 203.0.113.7/32"),
        ("2001:db8::1/64", "host bits"),
        ("2001:db8::1/129", "/129 is not a prefix"),
        ("203.0.113", "is not an IPv4 or IPv6 address"),
        ("203.0.113.07", "is not an IPv4 or IPv6 address"),
        ("3405803783", "is not an IPv4 or IPv6 address"),
        ("example.com", "is not an IPv4 or IPv6 address"),
        ("203.0.113.7,203.0.113.8", "is not an IPv4 or IPv6 address"),
        ("203.0.113.7; rm -rf /", "is not an IPv4 or IPv6 address"),
        ("٢٠٣.0.113.7", "is not an IPv4 or IPv6 address"),
        ("10.1.2.3", "is private"),
        ("172.31.255.255", "is private"),
        ("192.168.1.1", "is private"),
        ("100.64.0.1", "is private"),
        ("127.0.0.1", "is loopback"),
        ("169.254.169.254", "is link-local"),
        ("224.0.0.1", "is multicast"),
        ("255.255.255.255", "is reserved"),
        ("0.0.0.0", "is unspecified"),
        ("::", "is unspecified"),
        ("::1", "is loopback"),
        ("::ffff:203.0.113.7", "is IPv4"),
        ("fd00::1", "is private"),
        ("fe80::1", "is link-local"),
        ("fe80::1%eth0", "names an interface"),
        ("ff02::1", "is multicast"),
        ("0.0.0.0/1", "holds addresses that are"),
        ("::/1", "holds addresses that are"),
    ],
)
def test_an_address_that_is_not_public_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(BadInput) as caught:
        address.parse(text, origin="--ip", wider=True, anywhere=True)
    assert why in caught.value.message
    assert caught.value.hint is not None


def test_a_bad_variable_is_not_configured_and_a_bad_option_is_bad_input() -> None:
    with pytest.raises(NotConfigured, match=r"^GITPOD_IP: "):
        address.parse("nonsense", origin="GITPOD_IP")
    with pytest.raises(BadInput, match=r"^--ip: "):
        address.parse("nonsense", origin="--ip")


def test_the_hint_of_an_option_is_not_the_option_that_failed() -> None:
    with pytest.raises(BadInput) as typed:
        address.parse("10.0.0.1", origin="--ip")
    assert "leave out --ip" in (typed.value.hint or "")
    with pytest.raises(NotConfigured) as found:
        address.parse("10.0.0.1", origin="GITPOD_IP")
    assert "--ip ADDRESS" in (found.value.hint or "")


def test_a_network_is_accepted_only_with_wider() -> None:
    with pytest.raises(NotConfigured, match="whole network"):
        address.parse("203.0.113.0/24", origin="GITPOD_IP")
    assert address.parse("203.0.113.0/24", origin="--ip", wider=True).network == "203.0.113.0/24"
    assert address.parse("2001:db8::/64", origin="--ip", wider=True).network == "2001:db8::/64"


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "203.0.113.7/0", "0.0.0.0/0.0.0.0"])
def test_the_whole_internet_needs_its_own_flag(text: str) -> None:
    with pytest.raises(Protected, match="whole internet") as caught:
        address.parse(text, origin="--ip", wider=True)
    assert "--anywhere" in str(caught.value.hint)
    assert address.parse(text, origin="--ip", wider=True, anywhere=True).network in {"0.0.0.0/0", "::/0"}


@pytest.mark.parametrize("said", [b"203.0.113.7\n", b"2001:db8::7"])
def test_two_services_that_agree_give_the_address(service: Service, said: bytes) -> None:
    (one, asked_one), (two, asked_two) = service(said), service(said.strip() + b"\r\n")
    found = address.detect([one, two])
    assert found.network.startswith(said.decode().strip())
    assert asked_one == asked_two == ["/ip"]


def test_the_same_address_written_in_two_ways_agrees(service: Service) -> None:
    found = address.detect([service(b"2001:db8::7")[0], service(b"2001:0DB8:0:0:0:0:0:7")[0]])
    assert found.network == "2001:db8::7/128"


@pytest.mark.parametrize("other", [b"203.0.113.8", b"2001:db8::7"])
def test_the_answers_of_services_that_disagree_are_shown(service: Service, other: bytes) -> None:
    with pytest.raises(Refused) as caught:
        address.detect([service(b"203.0.113.7")[0], service(other)[0]])
    assert caught.value.code == "address_disagreement"
    assert "203.0.113.7" in caught.value.message
    assert other.decode() in caught.value.message
    assert "--ip" in str(caught.value.hint)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>captive portal</html>",
        b"10.0.0.1, 203.0.113.7",
        b"203.0.113.7/32",
        b"203.0.113.7" + b"\n" * 200,
        b"\xff\xfe\x00",
        b"9" * 10_000_000,
        b"\x1b[31m203.0.113.7",
    ],
    ids=["empty", "html", "two", "network", "padded", "binary", "huge", "escape"],
)
def test_an_answer_that_is_not_an_address_is_refused(service: Service, body: bytes) -> None:
    with pytest.raises(Refused, match="which is not an address") as caught:
        address.detect([service(b"203.0.113.7")[0], service(body)[0]])
    assert len(caught.value.message) < 250
    assert "says 203.0.113.7" in caught.value.message


def test_a_private_address_is_refused_even_if_the_services_agree(service: Service) -> None:
    with pytest.raises(NotConfigured, match="is private"):
        address.detect([service(b"10.0.0.7")[0], service(b"10.0.0.7")[0]])


def test_one_unreachable_service_is_an_error(service: Service) -> None:
    with pytest.raises(CannotConnect) as caught:
        address.detect([service(b"203.0.113.7")[0], faults.refused_url()])
    assert "says 203.0.113.7" in caught.value.message
    assert "cannot be reached" in caught.value.message


def test_a_silent_service_and_a_slow_one_end_at_the_time_limit(service: Service) -> None:
    with faults.silent_server() as silent, pytest.raises(CannotConnect) as caught:
        address.detect([silent, service(b"203.0.113.7" * 5, pause_s=0.05)[0]], timeout_s=0.4)
    assert caught.value.message.count("did not answer in time") == 2


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_not_followed(service: Service, status: int) -> None:
    elsewhere, asked = service(b"203.0.113.7")
    redirecting, _ = service(b"", status=status, headers={"Location": elsewhere})
    with pytest.raises(Refused, match=f"answered {status}"):
        address.detect([service(b"203.0.113.7")[0], redirecting])
    assert asked == []


def test_an_error_page_is_not_an_address(service: Service) -> None:
    with pytest.raises(Refused, match="answered 503"):
        address.detect([service(b"203.0.113.7")[0], service(b"203.0.113.7", status=503)[0]])


def test_no_proxy_is_used(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, asked = service(b"198.51.100.99")
    for name in ("http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    assert address.detect([service(b"203.0.113.7")[0], service(b"203.0.113.7")[0]]).network == "203.0.113.7/32"
    assert asked == []


@pytest.mark.parametrize(
    "urls",
    [
        [],
        ["https://checkip.example"],
        ["https://checkip.example/a", "https://checkip.example/b"],
        ["http://checkip.example", "https://ipify.example"],
        ["https://checkip.example", "ftp://ipify.example"],
        ["https://checkip.example", "https://"],
        ["https://checkip.example", "ipify.example"],
        ["https://checkip.example", "https://ipify.example:port"],
        ["https://checkip.example", "file:///etc/hostname"],
    ],
)
def test_two_different_services_over_https_are_needed(urls: list[str]) -> None:
    with pytest.raises(NotConfigured) as caught:
        address.detect(urls)
    assert "CRUDDUR_ADDRESS_SERVICES" in caught.value.message


def test_an_https_service_is_not_asked_over_http(service: Service) -> None:
    plain, asked = service(b"203.0.113.7")
    with pytest.raises(CannotConnect, match="cannot be reached"):
        address.detect([plain.replace("http:", "https:"), service(b"203.0.113.7")[0]])
    assert asked == []
