"""The words that schemas.py is written in: short names for what JSON Schema says at length."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema, description: str = "") -> Schema:
    return {"type": "array", "items": items, **_described(description)}


def fields(properties: dict[str, Schema], *, optional: Collection[str] = ()) -> Schema:
    """An object with these fields and no others."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def some(properties: dict[str, Schema]) -> Schema:
    """An object with any of these fields and no others."""
    return fields(properties, optional=properties)


def string(description: str = "") -> Schema:
    return {"type": "string", **_described(description)}


def whole(description: str = "", *, minimum: int = 0) -> Schema:
    return {"type": "integer", "minimum": minimum, **_described(description)}


def number(description: str = "") -> Schema:
    return {"type": "number", **_described(description)}


def maybe(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _described(text: str) -> Schema:
    return {"description": text} if text else {}
