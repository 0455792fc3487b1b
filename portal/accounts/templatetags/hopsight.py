"""Template words of the whole portal: sizes, ages, icons, and the front end when it was built."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from django import template
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_noop
from django_vite.templatetags import django_vite

from portal.accounts.openable import openable
from portal.config.field_labels import label_of
from portal.config.told import told
from portal.config.units import with_units
from sdn.model.trace import Intent

register = template.Library()
register.filter("told", told)
register.filter("label", label_of)
AGES = ((60, gettext_noop("s"), 1), (3600, gettext_noop("min"), 60), (86400, gettext_noop("h"), 3600))


@register.simple_tag
def front_end() -> str:
    """The front end's script and style tags; nothing when it was not built, pages work without."""
    config = settings.DJANGO_VITE["default"]
    if not config["dev_mode"] and not Path(str(config["manifest_path"])).is_file():
        return ""
    tags: SafeString = django_vite.vite_asset("src/main.ts")
    return tags


@register.simple_tag
@lru_cache(maxsize=512)
def icon(name: str, extra: str = "") -> SafeString:
    """An icon of the sprite."""
    shape = '<svg class="i {}" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-{}"/></svg>'
    return format_html(shape, extra, name)


@register.filter
def open_to(intent: Intent | None, request: HttpRequest) -> str:
    """The address of what a flow is there for, where the reader may open it."""
    return openable(request, intent.url, intent.team) if intent is not None and intent.url else ""


@register.filter
def as_json(value: Any) -> str:
    """The value as JSON, for an island's attribute."""
    return json.dumps(value, cls=DjangoJSONEncoder)


@register.filter
def said(value: object) -> str:
    """Words that a table or a row keeps in English, in the page's language."""
    return gettext(str(value)) if value else ""


@register.filter
def said_each(value: str) -> str:
    """`password, passkey`: each of them in the page's language."""
    return ", ".join(gettext(one) for one in value.split(", ")) if value else ""


@register.filter
def verdict(value: str) -> str:
    """A trace's verdict as a chip has it: `to_controller` → `to controller`."""
    return told(value.replace("_", " "))


@register.filter
def mib(value: int) -> str:
    """512 → `512 MiB`, 2048 → `2 GiB`."""
    return with_units(f"{round(value / 1024, 2):g} GiB" if value >= 1024 else f"{value} MiB")


@register.filter("bytes")
def bytes_words(value: int) -> str:
    """A number of bytes as people read it, in powers of two: 374 KiB."""
    size, unit = float(value), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return with_units(f"{number_format(size, 0 if size >= 10 or unit == 'B' else 1, force_grouping=False)} {unit}")


@register.filter
def seconds(value: float | None) -> str:
    """0.8123 → `0.81 s`; nothing for a time that is not known."""
    return "" if value is None else with_units(f"{value:.2f} s")


@register.filter
def age(value: datetime | None) -> str:
    """Time since then in one unit: `4 s`, `3 min`, `2 h`, `9 d`."""
    if value is None:
        return gettext("never")
    passed = max(0, int((timezone.now() - value).total_seconds()))
    for limit, unit, size in AGES:
        if passed < limit:
            return f"{passed // size} {gettext(unit)}"
    days = gettext("d")
    return f"{passed // 86400} {days}"


@register.filter
def stale(value: datetime | None) -> bool:
    """Whether an observation is older than 30 s, or there was none."""
    return value is None or (timezone.now() - value).total_seconds() > 30
