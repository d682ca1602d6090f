"""The only module that uses what botocore does not promise to keep; ``tests/aws_client`` pins each part.

Where a part is gone, the slow path is taken: botocore's own loader, or its own walk through the model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

# Handler of each answer: botocore's model of the operation and what came; returns the parsed answer, where
# botocore does not have to parse it.
Take = Callable[[Any, Mapping[str, Any]], dict[str, Any] | None]


def on_answers(client: Any, take: Take) -> Callable[[], None]:
    """Have ``take`` see every answer before it is parsed, by the event before-parse.

    It gets the raw answer, and a dict that is added to the parsed one: so an answer can be read in another way. Neither
    is documented. Without the dict botocore parses the body itself. A second registration changes nothing; what comes
    back takes one away.
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
    """Have a request's parameters set aside before botocore walks through them, and put back into its body.

    Both events carry one ``context``, the parameters, and the body that is to be sent.
    """
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(f"before-parameter-build.{service}.{operation}", set_aside)
    client.meta.events.register(f"before-call.{service}.{operation}", put_back)


def quicken(session: Any, service: str, *, local: bool) -> None:
    """Spare a session two readings of botocore's loader that cost a command a third of its start-up.

    It looks into every service's folder, twice, to learn that ours exist; and it reads where AWS has endpoints even
    when the endpoint is given.
    """
    from botocore.loaders import Loader

    if not all(hasattr(Loader, name) for name in ("list_available_services", "load_data_with_path")):
        return  # the slow path: botocore's own loader

    class Quick(Loader):
        def list_available_services(self, type_name: str) -> list[str]:
            # The others are where a profile's credentials come from.
            return [service, "sts", "sso", "sso-oidc", "signin"]

        def load_data_with_path(self, name: str) -> Any:
            if local and name == "endpoints":
                defaults = {"hostname": "{service}.{region}.{dnsSuffix}", "signatureVersions": ["v4"]}
                aws = {"partition": "aws", "dnsSuffix": "amazonaws.com", "regionRegex": ".*", "regions": {}}
                return {"version": 3, "partitions": [{**aws, "defaults": defaults, "services": {}}]}, ""
            return super().load_data_with_path(name)

    extra = session.get_config_variable("data_path")
    session.register_component("data_loader", Quick(extra_search_paths=extra.split(os.pathsep) if extra else None))
