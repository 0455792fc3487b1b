"""The OpenAPI 3.1 document: what ninja makes of the operations, with the problems that each may answer."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from portal.accounts.reasons import HEADER, MOST_REASON
from portal.api.names import names_looked_at
from portal.api.problems import MEDIA_TYPE
from portal.api.schemas import ProblemOut

TEAM = {
    "name": "Hopsight-Team",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "slug of the team to work in; without it the session's, or the first one",
}
IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
    "description": "the same key and request again give the first answer",
}
MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "the ETag that GET on this address gave: nothing is done if it was changed since (412)",
}
FIELDS = {
    "name": "fields",
    "in": "query",
    "required": False,
    "schema": {"type": "string"},
    "description": "names by comma: only these fields come, of each item of a list",
}
LANGUAGE = {
    "name": "Hopsight-Language",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "enum": [code for code, _ in settings.LANGUAGES]},
    "description": "the language of words for people; English without it",
}
REASON = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": MOST_REASON},
    "description": "why, in your words (UTF-8): it is kept in the activity with what is changed",
}
COMMON = {
    "get": [TEAM, FIELDS, LANGUAGE],
    "post": [TEAM, IDEMPOTENCY, REASON],
    "put": [TEAM, MATCH, REASON],
    "patch": [TEAM, MATCH, REASON],
    "delete": [TEAM, MATCH, REASON],
}
METHODS = ("get", "post", "put", "patch", "delete")


class HopsightAPI(NinjaAPI):
    """ninja's API with headers and refusals written into its document.

    Generated clients call an operation by its id, which is its function's name, and find it under its noun, the first of the path.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_decorator(names_looked_at, mode="view")
        self._documents: dict[str, OpenAPISchema] = {}

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        """The document, made once per process (it takes most of a second): read it, don't change it."""
        key = repr(kwargs)
        if key not in self._documents:
            self._documents[key] = self._document(**kwargs)
        return self._documents[key]

    def _document(self, **kwargs: Any) -> OpenAPISchema:
        document = super().get_openapi_schema(**kwargs)
        refusal = {
            "description": "Refused: the title says why, `errors` names the fields",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        schema = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"]["Problem"] = schema
        for path, item in document["paths"].items():
            for method in METHODS:
                if operation := item.get(method):
                    operation["tags"] = [path.split("/")[3]]
                    operation["parameters"] = [*operation.get("parameters", []), *COMMON[method]]
                    operation["responses"]["4XX"] = refusal
        document["info"]["description"] = (
            "Everything the pages do. Send `Authorization: Bearer hst_…` (made under API tokens) or a browser's session "
            "with its CSRF token. Lists come in pages: follow `next`. Long work answers 202 with an operation. Answers have an "
            "ETag; refusals are application/problem+json and name every wrong field. "
            "A name that an operation does not know, in the query or the body, is refused too."
        )
        document["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        return document
