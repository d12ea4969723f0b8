"""The JSON body of a request -> its fields, checked. Every refusal names the value and what may stand there."""

from __future__ import annotations

import base64
import binascii
import json
import sys
from typing import Any

from flask import Request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

from search.errors import BadQuery
from web.params import once, refuse_strangers

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
"""The types of a body that is a form; any other is read as JSON."""

_SHOWN = 40


def read_object(
    request: Request, fields: tuple[str, ...], example: str, *, arguments: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The JSON object with none but these fields, of a URL with none but these arguments. Raises BadQuery and, for a
    body of another type, werkzeug's 415.
    """
    _refuse_arguments(request, arguments)
    try:
        body = request.get_json()
    except RecursionError:
        raise BadQuery("the JSON is nested too deeply") from None
    except BadRequest:
        raise BadQuery(f"the body is no JSON; give an object like {example}") from None
    if not isinstance(body, dict):
        raise BadQuery(f"the body is a JSON object like {example}")
    refuse_strangers(body, fields, "field")
    return body


def unrepeated(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises BadQuery for a field that is there twice."""
    return once(MultiDict(fields))


def read_form(
    request: Request, fields: tuple[str, ...], files: tuple[str, ...], *, several: tuple[str, ...] = ()
) -> MultiDict[str, str]:
    """The fields of a form that has none but these, and no `files` but these; each once but for `several`.

    Raises BadQuery.
    """
    _refuse_arguments(request, ())
    for given, known, what in ((request.form, fields, "field"), (request.files, files, "file")):
        refuse_strangers(given, known, what)
        once(given, several)
    return request.form


def _refuse_arguments(request: Request, known: tuple[str, ...]) -> None:
    if strangers := [name for name in request.args if name not in known]:
        raise BadQuery(f"the argument {strangers[0][:_SHOWN]!r} of the URL is not read here; put it into the body")


def string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadQuery(f"{name} is {json.dumps(value)[:_SHOWN]}; give a string")
    return value


def strings(name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise BadQuery(f"{name} is {json.dumps(value)[:_SHOWN]}; give a list of strings")
    return [string(f"{name}[{place}]", item) for place, item in enumerate(value)]


def whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadQuery(f"{name} is {json.dumps(value)[:_SHOWN]}; give a whole number")
    return value


def number(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > sys.float_info.max:
        raise BadQuery(f"{name} is {json.dumps(value)[:_SHOWN]}; give a number")
    return float(value)


def boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadQuery(f"{name} is {json.dumps(value)[:_SHOWN]}; give true or false")
    return value


def files(name: str, value: Any) -> list[bytes]:
    """What a list of base64 stands for."""
    return [file_bytes(f"{name}[{place}]", text) for place, text in enumerate(strings(name, value))]


def file_bytes(name: str, text: str) -> bytes:
    """What base64 stands for."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadQuery(f"{name} is not base64") from None
