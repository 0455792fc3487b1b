"""What a request names and no operation knows is refused, rather than passed over: a misspelt filter would list everything.

Bodies are `Given`s. A query's names are looked at by the operation's own parameters and those that every one has, and told together with
whatever else is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from typing import Any, get_args

from django.http import HttpRequest, HttpResponse
from ninja import Schema
from ninja.errors import ValidationError
from ninja.operation import Operation
from pydantic import BaseModel, ConfigDict

from portal.api.problems import UNKNOWN

MOST_TOLD = 50
MOST_SHOWN = 40
EVERY_QUERY = {"GET": ("fields",)}  # by method: what middleware reads of any operation's query
Error = dict[str, Any]


class Given(Schema):
    """What a body is, or a part of one: a name that it does not have is refused."""

    model_config = ConfigDict(extra="forbid")


def names_looked_at(run: Callable[..., Any]) -> Callable[..., Any]:
    """An operation's `run`, as ninja decorates it; from now on the operation refuses names that it does not know."""
    operation: Operation = run.__self__  # type: ignore[attr-defined]
    read, query, body = operation._get_values, _query_names(operation), _body_of(operation)
    if not operation.include_in_schema or hasattr(read, "__wrapped__"):  # what answers any address takes what comes
        return run
    has_body = body is not None or "requestBody" in (operation.openapi_extra or {})

    @wraps(read)
    def values(request: HttpRequest, path_params: Any, answer: HttpResponse) -> dict[str, Any]:
        allowed = [*query, *EVERY_QUERY.get(request.method or "", ())]
        unknown = [] if is_condition(request) else [("query", name) for name in request.GET if name not in allowed]
        if not has_body and request.method != "GET":
            unknown += [("body", name) for name in _names_of_body(request)]
        found: dict[str, Any] = {}
        errors: list[Error] = []
        try:
            found = read(request, path_params, answer)
        except ValidationError as error:
            errors = [one for one in error.errors if one["type"] != UNKNOWN]
            # ninja puts the name that the code gives the whole body before the place in it
            unknown += [("body", *one["loc"][2:]) for one in error.errors if one["type"] == UNKNOWN]
        if unknown or errors:
            raise ValidationError([*_told(unknown, allowed, body), *errors])
        return found

    operation._get_values = values  # type: ignore[method-assign, assignment]
    return run


def as_condition(request: HttpRequest) -> None:
    """Marks a reading for If-Match: its query is the change's, which looks at the names itself."""
    request.is_condition = True  # type: ignore[attr-defined]


def is_condition(request: HttpRequest) -> bool:
    return getattr(request, "is_condition", False)


def _query_names(operation: Operation) -> list[str]:
    models = [model for model in operation.models if model.__ninja_param_source__ == "query"]
    return [name for model in models for name in model.__ninja_flatten_map__]


def _body_of(operation: Operation) -> Any:
    """The type of an operation's body; None where it has none."""
    fields = [model.model_fields for model in operation.models if model.__ninja_param_source__ == "body"]
    return next((field.annotation for named in fields for field in named.values()), None)


def _names_of_body(request: HttpRequest) -> Iterable[str]:
    """The names in a body that nothing reads; none where it is no JSON object."""
    try:
        value = json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        return ()
    return value if isinstance(value, dict) else ()


def _told(unknown: list[tuple[Any, ...]], query: list[str], body: Any) -> list[Error]:
    """An error for each place of an unknown name, with what is allowed there; the first of very many."""
    told = [_told_one(place, query if place[0] == "query" else _names_at(body, place[1:-1])) for place in unknown[:MOST_TOLD]]  # fmt: skip
    if more := len(unknown) - len(told):
        told.append({"type": UNKNOWN, "loc": ("request",), "msg": f"{more} more unknown names were given"})
    return told


def _told_one(place: tuple[Any, ...], allowed: list[str]) -> Error:
    source, *inside, name = place
    name, where = str(name)[:MOST_SHOWN], ".".join([source, *(str(part) for part in inside)])
    words = f"“{name}” was given in {where}, which has no such name"
    if nearest := get_close_matches(name, allowed, n=1):
        words += f": did you mean “{nearest[0]}”?"
    verb = "are" if len(allowed) > 1 else "is"
    words += f"; {', '.join(sorted(allowed)) or 'nothing'} {verb} allowed there"
    return {"type": UNKNOWN, "loc": (*place[:-1], name), "msg": words}


def _names_at(annotation: Any, place: Iterable[Any]) -> list[str]:
    """The names that what lies at a place of a body may have."""
    for part in place:
        model = _model_in(annotation)
        if isinstance(part, str) and model is not None and part in model.model_fields:
            annotation = model.model_fields[part].annotation
    model = _model_in(annotation)
    return list(model.model_fields) if model is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part)) is not None), None)
