"""The commented files that `qlan init` writes: the YAML files beside this one, with the lab's own name."""

from __future__ import annotations

from importlib import resources

TEMPLATES = {
    "user": "one guest that reaches the internet, with ports forwarded into it",
    "private": "two guests that hear each other and nothing else",
    "host-only": "two guests that hear each other and this machine",
    "isolated": "a guest that reaches nothing at all",
    "router": "a client on a private network behind a router",
}

_LAB, _SCHEMA = "lab: my-lab", "$schema=qlan.schema.json"


def template(name: str, lab: str, schema_ref: str) -> str:
    """The text of a qlan.yaml.  name: one of TEMPLATES, else KeyError.  schema_ref: path or URL of the JSON Schema."""
    if name not in TEMPLATES:
        raise KeyError(name)
    text = (resources.files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
    return text.replace(_LAB, f"lab: {lab}", 1).replace(_SCHEMA, f"$schema={schema_ref}", 1)
