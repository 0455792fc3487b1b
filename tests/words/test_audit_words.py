"""What an audit row's values say is told in Russian: the names of values by a table, rules and yes or no in words, names as they are."""

from __future__ import annotations

import ast

import pytest
from django.conf import settings
from django.utils import translation

from portal.accounts.audit import WORDS
from portal.accounts.audit_words import FIELDS
from portal.accounts.models import AuditRow
from portal.accounts.presentation import as_feed, change_words


def _recorded() -> set[str]:
    """The keys of the dicts that sources write into the audit as they stand."""
    found: set[str] = set()
    for folder in ("portal", "tasks"):
        for path in (settings.BASE_DIR / folder).rglob("*.py"):
            for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
                changes = [one.value for one in call.keywords if one.arg in ("before", "after")]
                keys = [key for change in changes if isinstance(change, ast.Dict) for key in change.keys]
                found |= {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return found


def test_each_value_that_is_recorded_has_its_name() -> None:
    recorded = _recorded()
    assert len(recorded) > 30
    assert recorded - set(FIELDS) == set()


def _actions() -> set[str]:
    """What sources write into the audit as a literal: `record("vm.rename", …)`."""
    found: set[str] = set()
    for path in (settings.BASE_DIR / "portal").rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            first = call.args[0] if call.args else None
            if name in ("record", "_record") and isinstance(first, ast.Constant):
                found.add(str(first.value))
    return found


def test_each_action_that_is_recorded_has_its_words() -> None:
    assert len(_actions()) > 60
    assert _actions() - set(WORDS) == set()


def test_a_change_is_told_in_russian() -> None:
    change = {"role": "member", "enabled": True, "rule": "tcp/22 from anywhere", "name": "network", "hours": 2}
    with translation.override("ru"):
        assert change_words({"role": "viewer"}, change) == (
            "включено да, часы 2, имя network, роль наблюдатель → участник, правило tcp/22 отовсюду"
        )
        assert change_words({"groups": ["web", "db"]}, {"groups": []}) == "группы web db → нет"


def test_of_a_list_that_stays_only_what_changed_is_told() -> None:
    assert change_words({"widgets": ["quota 12", "vms 12"]}, {"widgets": ["vms 12", "note 4"]}) == (
        "widgets − quota 12 + note 4"
    )
    assert change_words({"tags": ["a", "b"]}, {"tags": ["b", "a"]}) == "tags in another order"
    assert change_words({"tags": ["a", "a", "b"]}, {"tags": ["a", "b"]}) == "tags − a"


@pytest.mark.parametrize(("address", "source"), [("192.0.2.7", "a1"), ("192.0.2.8", "192.0.2.8 a1")])
def test_a_log_in_names_its_address_once(address: str, source: str) -> None:
    row = AuditRow(
        action="session.start", object_type="user", object_name="192.0.2.7", address=address, request_id="a1"
    )
    (entry,) = as_feed([row])
    assert (entry.name, entry.source) == ("192.0.2.7", source)


def test_what_has_no_name_of_its_own_is_named_in_russian() -> None:
    row = AuditRow(action="invitation.create", object_type="invitation", object_name="member")
    with translation.override("ru"):
        assert as_feed([row])[0].name == "участник"


def test_an_english_page_has_the_keys_as_the_rows_have_them() -> None:
    assert (
        change_words({"role": "viewer"}, {"role": "member", "next_hop": False}) == "next_hop no, role viewer → member"
    )
