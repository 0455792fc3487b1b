"""`manage.py openapi`: the API's OpenAPI document, for generators of clients."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand
from django.core.serializers.json import DjangoJSONEncoder

from portal.api.api import api


class Command(BaseCommand):
    help = "Print the API's OpenAPI document."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(api.get_openapi_schema(), cls=DjangoJSONEncoder, indent=2))
