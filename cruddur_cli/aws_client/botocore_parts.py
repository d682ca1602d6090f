"""The only module that uses undocumented parts of botocore. ``tests/aws_client`` tests each part.

If a later botocore lacks a part, a slower documented way is used: botocore's own loader, or its own parser.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

# A handler of answers. It gets botocore's model of the operation and the raw answer, and returns the parsed answer, or
# None if botocore must parse it.
AnswerHandler = Callable[[Any, Mapping[str, Any]], dict[str, Any] | None]


def on_answers(client: Any, take: AnswerHandler) -> Callable[[], None]:
    """Call ``take`` with every answer before botocore parses it; return a function that unregisters it.

    It uses the event before-parse, which has the raw answer, and a dict that botocore adds to the parsed answer. Both
    are undocumented. Without that dict, botocore parses the body itself. A second registration has no effect, and has
    to be unregistered too.
    """

    def handle(
        operation_model: Any,
        response_dict: dict[str, Any],
        customized_response_dict: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        answer = take(operation_model, response_dict)
        if answer is not None and customized_response_dict is not None:
            customized_response_dict.update({name: value for name, value in answer.items() if value is not None})
            response_dict["body"] = b"{}"

    once: dict[str, Any] = {"unique_id": "cruddur-answers", "unique_id_uses_count": True}
    event = f"before-parse.{client.meta.service_model.service_id.hyphenize()}"
    client.meta.events.register(event, handle, **once)
    return lambda: client.meta.events.unregister(event, **once)


def on_requests(client: Any, operation: str, set_aside: Callable[..., Any], put_back: Callable[..., Any]) -> None:
    """Call ``set_aside`` before botocore checks and encodes a request's parameters, and ``put_back`` before it is sent.

    Both get the same ``context``. ``set_aside`` gets the parameters, ``put_back`` the request with its body.
    """
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(f"before-parameter-build.{service}.{operation}", set_aside)
    client.meta.events.register(f"before-call.{service}.{operation}", put_back)


def quicken(session: Any, service: str, *, local: bool) -> None:
    """Make a session's client creation faster: without this it takes a third of a command's start-up time.

    botocore's loader looks into the folder of every service, twice, to find the one service. It also reads the list of
    AWS endpoints if the endpoint is given. This loader does neither.
    """
    from botocore.loaders import Loader

    if not all(hasattr(Loader, name) for name in ("list_available_services", "load_data_with_path")):
        return  # the slow path: botocore's own loader

    class Quick(Loader):
        def list_available_services(self, type_name: str) -> list[str]:
            # A profile's credentials can come from the services after the first.
            return [service, "sts", "sso", "sso-oidc", "signin"]

        def load_data_with_path(self, name: str) -> Any:
            if local and name == "endpoints":
                defaults = {"hostname": "{service}.{region}.{dnsSuffix}", "signatureVersions": ["v4"]}
                aws = {"partition": "aws", "dnsSuffix": "amazonaws.com", "regionRegex": ".*", "regions": {}}
                return {"version": 3, "partitions": [{**aws, "defaults": defaults, "services": {}}]}, ""
            return super().load_data_with_path(name)

    extra = session.get_config_variable("data_path")
    session.register_component("data_loader", Quick(extra_search_paths=extra.split(os.pathsep) if extra else None))
