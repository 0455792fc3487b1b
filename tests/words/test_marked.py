"""Every word of a template that people read stands inside a translate tag."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.template.loader import get_template

from tests.words.texts import unmarked

TEMPLATES = sorted(settings.BASE_DIR.glob("portal/**/templates/**/*.html"))


def _name(path: Path) -> str:
    return str(path).rpartition("/templates/")[2]


@pytest.mark.parametrize("path", TEMPLATES, ids=_name)
def test_a_template_has_no_words_outside_of_translate_tags(path: Path) -> None:
    assert [text.source for text in unmarked(path.read_text())] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=_name)
def test_a_template_can_be_read(path: Path) -> None:
    get_template(_name(path))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>Delete it</p>", ["Delete it"]),
        ("<p>{{ vm.name }} is off</p>", ["{{ vm.name }} is off"]),
        ('<a title="Delete it"></a>', ["Delete it"]),
        ('<a aria-label="{% if x %}Open{% endif %}"></a>', ["Open"]),
        ('{{ name|default:"nobody" }}', ["nobody"]),
        ('{% include "a.html" with label="Name" %}', ["Name"]),
        ('<p>{% translate "Delete it" %}</p>', []),
        ("<p>{% blocktranslate %}Delete {{ name }}{% endblocktranslate %}</p>", []),
        ("<code>ip link</code><p>VXLAN, MTU: 1500</p>", []),
        ("<p>3 GiB</p>", ["3 GiB"]),
    ],
)
def test_words_are_found_wherever_they_are_read(source: str, found: list[str]) -> None:
    assert [text.source for text in unmarked(source)] == found
