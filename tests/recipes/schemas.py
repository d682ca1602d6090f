"""The public schemas of the files, and those that are written here.

Those of GitHub, GitLab and Compose are in the package check-jsonschema: from SchemaStore (Apache 2.0), GitLab (MIT) and
the Compose specification (Apache 2.0). Gitpod's schema has another licence, and that of development containers is in no
package. For these two there is a strict list of the keys that the recipes use, with the types of those schemas.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from pathlib import Path
from typing import Any

import jsonschema
import yaml

# YAML 1.2, which all of these programs read: ``on`` is a word.
_RESOLVERS = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path: Path) -> Any:
    """The document in a file of YAML or JSON."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    loader = yaml.SafeLoader(text)
    loader.yaml_implicit_resolvers = _RESOLVERS
    return loader.get_single_data()


_PORTS = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1, "maximum": 65535}}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}


def _strict(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


_TEXT = {"type": "string"}
OWN = {
    "gitpod": _strict(
        ["tasks"],
        image=_TEXT,
        tasks={
            "type": "array",
            "minItems": 1,
            "items": _strict([], name=_TEXT, before=_TEXT, init=_TEXT, command=_TEXT, env=_TEXTS),
        },
        ports={
            "type": "array",
            "items": _strict(
                ["port"],
                port={"type": "integer"},
                onOpen={"enum": ["open-browser", "open-preview", "notify", "ignore"]},
                visibility={"enum": ["private", "public"]},
                name=_TEXT,
            ),
        },
    ),
    "devcontainer": _strict(
        ["name"],
        name=_TEXT,
        image=_TEXT,
        dockerComposeFile=_TEXT,
        service=_TEXT,
        workspaceFolder=_TEXT,
        mounts={"type": "array", "items": _TEXT},
        containerEnv=_TEXTS,
        remoteEnv=_TEXTS,
        remoteUser=_TEXT,
        onCreateCommand=_TEXT,
        postCreateCommand=_TEXT,
        postStartCommand=_TEXT,
        postAttachCommand=_TEXT,
        forwardPorts=_PORTS,
    ),
}
PUBLISHED = {"github": "github-workflows", "gitlab": "gitlab-ci", "compose": "compose-spec"}


def check(document: Any, kind: str) -> None:
    """Raise ValidationError where a document does not have the form that its program takes."""
    if kind in OWN:
        jsonschema.validate(document, OWN[kind])
        return
    _published(kind).validate(document)


@functools.cache
def _published(kind: str) -> Any:
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / f"{PUBLISHED[kind]}.json").read_text(encoding="utf-8"))
    return jsonschema.validators.validator_for(schema)(schema)
