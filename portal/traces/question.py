"""A stored trace's question: what its answer repeats, and what fills the form in again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from portal.networks.models import Port
from portal.traces.models import TraceRequest
from portal.traces.packets import KINDS
from sdn.model.asked import Asked, asked_from_json

OUTSIDE, ROUTER = "outside:", "router:"  # before the name of a sender that is no port
GONE = "a VM that is gone"
DEFAULTS = {"moment": "as_is", "port_dst": "0"}  # which need not be said


def asked_of(row: TraceRequest) -> Asked:
    """The question as the answer tells it, by the names of then; else out of the row."""
    stored = asked_from_json((row.result or {}).get("question"))
    return stored or made_asked(row, row.source, row.target)


def with_gone_told(asked: Asked) -> Asked:
    """The question for a page: an end that has no name any more is told in its language."""
    return replace(asked, source_name=_gone_told(asked.source_name), target_name=_gone_told(asked.target_name))


def _gone_told(name: str) -> str:
    return gettext(GONE) if name == GONE else name


def made_asked(row: TraceRequest, source: Port | None, target: Port | None, family: int = 0) -> Asked:
    """The question of a row between these ports; `family` is the packet's, where that is known."""
    sender = source or row.router or row.outside
    return Asked(
        source=str(source.uuid) if source else None,
        outside=row.outside.name if row.outside else "",
        router=row.router.name if row.router else "",
        source_address=row.source_address,
        target=row.address or (str(target.uuid) if target else ""),
        protocol=row.protocol,
        port_dst=row.port_dst,
        moment=row.moment,
        size_bytes=row.size_bytes,
        header_fields=fields_text(row),
        deliver=row.is_handed_over,
        at=row.at.isoformat() if row.at else "",
        source_name=sender.name if sender else GONE,
        target_name=target.name if target else row.address or GONE,
        family=family or _family(row),
        asked_at=(row.created_at or timezone.now()).isoformat(),
    )


def fields_text(row: TraceRequest) -> str:
    """The header fields that are not the guest's, as they are typed."""
    return ",".join(f"{name}={value}" for name, value in row.header_fields.items())


def again_of(row: TraceRequest) -> dict[str, str]:
    """What fills the form in with this very question; empty where an end of it is gone."""
    source, target = _source_again(row), _target_again(row)
    if not source or not target:
        return {}
    given = {
        "source": source, "target": target, "protocol": row.protocol, "port_dst": str(row.port_dst),
        "family": str(_family(row)) if row.target and row.address else "", "moment": row.moment,
        "size_bytes": str(row.size_bytes), "header_fields": fields_text(row), "source_address": row.source_address,
        "at": row.at.isoformat() if row.at else "",
    }  # fmt: skip
    return {name: value for name, value in given.items() if value and value != DEFAULTS.get(name)}


def swapped_of(row: TraceRequest) -> dict[str, str]:
    """The same packet the other way round; empty where only one end is a VM."""
    if row.source is None or row.target is None:
        return {}
    kept = {name: value for name, value in again_of(row).items() if name in ("protocol", "port_dst", "family")}
    return {"source": str(row.target.uuid), "target": str(row.source.uuid), **kept}


def form_with(given: Mapping[str, str]) -> str:
    """The form's address that fills it in; "" for nothing."""
    return f"{reverse('trace_new')}?{urlencode(given)}" if given else ""


def _source_again(row: TraceRequest) -> str:
    """The source as the form has it."""
    if row.outside is not None:
        return f"{OUTSIDE}{row.outside.name}"
    if row.router is not None:
        return f"{ROUTER}{row.router.name}"
    return str(row.source.uuid) if row.source else ""


def _target_again(row: TraceRequest) -> str:
    """The target as the form has it: a VM by its uuid, and then its family says to which address of it."""
    return row.address if row.outside or row.target is None else str(row.target.uuid)


def _family(row: TraceRequest) -> int:
    if row.address:
        return ip_address(row.address).version
    return KINDS[row.protocol].family if row.protocol in KINDS else 0
