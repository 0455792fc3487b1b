"""No refusal that Python makes for a page stands outside of gettext; those of the API alone and of commands speak English."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from django.conf import settings

REFUSAL = re.compile(r"\b(?:was|were) given\b|\b(?:is|are) allowed\b|\ballowed (?:is|are)\b")
MARKS = {"gettext", "gettext_noop", "gettext_lazy", "ngettext", "_"}
# What no page shows: paths of the API and its documents, commands, sockets, forms of address that tell programs what they did.
FOR_PROGRAMS = re.compile(r"/(?:management|api)/|_?api\.py$|/paging\.py$|/live/|/console/|/bench/")
PORTAL = settings.BASE_DIR / "portal"
SOURCES = [
    path
    for path in sorted(PORTAL.glob("**/*.py"))
    if not FOR_PROGRAMS.search(f"/{path.relative_to(PORTAL)}") and "migrations" not in path.parts
]


def _words(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_words(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def _unmarked(tree: ast.AST) -> Iterator[str]:
    """Refusals that are no argument of a mark, and no docstring."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in MARKS:
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Constant | ast.JoinedStr):
            if REFUSAL.search(_words(node)):
                yield _words(node)
            continue
        yield from _unmarked(node)


def test_a_refusal_for_people_stands_inside_of_gettext() -> None:
    found = {str(path.relative_to(PORTAL)): list(_unmarked(ast.parse(path.read_text()))) for path in SOURCES}
    assert {path: words for path, words in found.items() if words} == {}
    assert len(found) > 200


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise Problem(f"{x} was given; 1 is allowed")', ["… was given; 1 is allowed"]),
        ('raise Problem(gettext("%(x)s was given; 1 is allowed") % {"x": x})', []),
        ('def f():\n    """What was given."""', []),
        ('errors = {"a": ["none were given"]}', ["none were given"]),
    ],
)
def test_refusals_are_found(source: str, found: list[str]) -> None:
    assert list(_unmarked(ast.parse(source))) == found
