"""The API's documentation as a page, made from its OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.api.api import api
from portal.api.document import METHODS
from portal.api.examples import command


@require_safe
def api_docs(request: HttpRequest) -> HttpResponse:
    """Every operation with its parameters and a command that works."""
    document = json.loads(json.dumps(api.get_openapi_schema(), default=str))
    origin = f"{request.scheme}://{request.get_host()}"
    operations = [
        _entry(path, method, item[method], origin)
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]
    return render(request, "api/api_docs.html", {"operations": operations, "about": document["info"]["description"]})


def _entry(path: str, method: str, operation: dict[str, Any], origin: str) -> dict[str, Any]:
    name = f"{method.upper()} {path}"
    return {
        "anchor": name.lower().replace(" ", "").replace("/", "-").replace("{", "").replace("}", ""),
        "method": method.upper(),
        "path": path,
        "summary": operation.get("summary", ""),
        "parameters": [
            {"name": row["name"], "where": row["in"], "words": row.get("description", ""), "required": row["required"]}
            for row in operation.get("parameters", [])
        ],
        "command": command(method.upper(), path, origin),
    }
