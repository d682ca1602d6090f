"""Asks a server whether it speaks one AWS service, before anything is sent to it."""

from __future__ import annotations

from urllib.parse import urlsplit

from .errors import CannotConnect
from .sdk import LOCAL_REGION, READ_S


def answers(url: str, service: str, target: str, body: str, expected: str, *, timeout_s: float = READ_S) -> bool:
    """Whether the server at ``url`` speaks one AWS JSON service: whether it answers ``target`` with ``expected``.

    The request is unsigned and holds no credential. Raises CannotConnect where somebody listens and does not answer:
    it may be the very store that is asked for, and no other may be written to in its place.
    """
    import http.client

    parts = urlsplit(url)
    secure = parts.scheme == "https"
    connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(
        parts.hostname or "localhost", parts.port, timeout=timeout_s
    )
    scope = f"local/20260101/{LOCAL_REGION}/{service}/aws4_request"
    try:
        connection.request(
            "POST",
            parts.path or "/",
            body,
            {
                "Content-Type": "application/x-amz-json-1.0",
                "X-Amz-Target": target,
                "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
            },
        )
        return expected in connection.getresponse().read(65536).decode("utf-8", "replace")
    except TimeoutError as error:
        raise CannotConnect(
            f"Something listens at {url} and does not answer.",
            hint="wait until it has started, or end it; `cruddur config` shows where the address comes from",
        ) from error
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
