"""Every link that a page shows somebody can be followed by them: whatever the page, whoever reads it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urljoin, urlsplit

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.accounts.entries import PAGES
from portal.hosts.models import Host
from portal.live.transient import Change, TransientWriter
from portal.networks.causes import explain_causes
from portal.networks.floating_requests import allocate_floating
from portal.networks.models import ExternalNetwork, FloatingAddress, Mirror, Network, Port, SecurityGroup, SecurityRule
from portal.networks.router_models import Router
from portal.operations.models import Operation
from portal.topology.bridges import bridges_topic
from portal.topology.flow_rows import FlowDelta, pack
from portal.topology.models import HostSeen
from portal.traces.models import PortTrace
from sdn.model.cookie import Cause, CauseKind
from sdn.model.trace import Hop, Step, Trace, to_json
from sdn.reconcile import wire_flow
from tasks.flow_watch import cause_fields
from tests.cast import Cast
from tests.portal.clients import client_of, made_flow_record
from tests.portal.walked import World, make_world

HREF = re.compile(r'\shref="([^"]*)"')
JSON_SCRIPT = re.compile(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', re.DOTALL)
PLACES = {"HOST": "hv1", "BRIDGE": "br-int"}  # that islands put into the addresses they are given
ROWS = (
    (CauseKind.PORT, Port), (CauseKind.NETWORK, Network), (CauseKind.SECURITY_RULE, SecurityRule),
    (CauseKind.SECURITY_GROUP, SecurityGroup), (CauseKind.MIRROR, Mirror), (CauseKind.ROUTER, Router),
    (CauseKind.EXTERNAL_NETWORK, ExternalNetwork), (CauseKind.FLOATING_ADDRESS, FloatingAddress),
)  # fmt: skip


@pytest.fixture
def world(cast: Cast) -> Iterator[World]:
    """One of everything, and pages that name the rows of all teams: flow tables, an operator's trace, both histories."""
    made = make_world(cast)
    host, now = Host.objects.get(name="hv1"), timezone.now()
    allocate_floating(cast.payments, cast.external)
    causes = [Cause(kind, pk) for kind, model in ROWS for pk in model.objects.values_list("pk", flat=True)]
    assert {cause.kind for cause in causes} == {kind for kind, _ in ROWS}
    told = explain_causes(causes)
    bridges, flows = TransientWriter(bridges_topic("hv1")), TransientWriter("flows:hv1/br-int")
    bridges.write([Change("bridge.changed", name, {}) for name in ("br-int", "br-ex")])
    flows.write([_flow(at, cause_fields(told[cause])) for at, cause in enumerate(causes)])
    steps = tuple(Step(0, "", 1, "ip", "drop", None, told[cause], "") for cause in causes)
    hop = Hop("bridge", "host", "hv1", "br-int", "", steps)
    trace = Trace("t", "predicted", "forward", {}, (hop,), "dropped", "Dropped.", now.isoformat(), 1, cause=steps[2])
    PortTrace.objects.update(result=to_json(trace), state="done")
    lines = pack([FlowDelta(wire_flow(0, 2, b"", 0x78, b""))])
    made_flow_record(host).changes.create(at=now - timedelta(seconds=20), set_flows=1, causes=["x"], lines=lines)
    operation = Operation.objects.filter(team=cast.payments)[0]
    seen = HostSeen.objects.get(host=host)
    seen.switch["bridges"].append({**seen.switch["bridges"][0], "name": "br-ex"})
    seen.save()
    seen.changes.create(
        at=now - timedelta(seconds=20), object="port br-int/vnet8", after={"kind": "tap"}, by="operation", cause="x",
        operation=operation.uuid,
    )  # fmt: skip
    yield made
    bridges.write([Change("bridge.deleted", name, None) for name in list(bridges.state)])
    flows.write([Change("flow.deleted", key, None) for key in list(flows.state)])


def _flow(at: int, why: dict[str, str]) -> Change:
    data = {"table": at % 5, "table_name": "", "priority": at, "match": f"reg1={at}", "actions": "", "cookie": "0x1",
            "packets": 0, "bytes": 0, "foreign": False, **why}  # fmt: skip
    return Change("flow.changed", str(at), data)


@pytest.mark.parametrize("person", ["olga", "alice", "bob", "charlie", "dana"])
def test_no_link_ends_where_its_reader_may_not_go(world: World, person: str) -> None:
    client = client_of(getattr(world.cast, person))
    begins = [reverse(name, kwargs=world.arguments.get(name)) for name, page in PAGES.items() if page.get]
    shown_on = dict.fromkeys(begins, "")
    waiting, seen, refused = list(begins), set[str](), []
    while waiting:
        url = waiting.pop()
        if _shape(url) in seen:
            continue
        seen.add(_shape(url))
        answer = client.get(url)
        if answer.status_code >= 400 and shown_on[url]:
            refused.append(f"{answer.status_code} {url} on {shown_on[url]}")
        if answer.status_code != 200 or not answer.headers["Content-Type"].startswith("text/html"):
            continue
        for link in links_of(answer.content.decode(), url):
            if link not in shown_on:
                shown_on[link] = url
                waiting.append(link)
    assert refused == [] and len(seen) > len(begins) - 20


def _shape(url: str) -> str:
    """What pages of one kind with other words in the query share: one of them is enough."""
    parts = urlsplit(url)
    return f"{parts.path}?{sorted(re.findall(r'([^=&]+)=', parts.query))}"


def links_of(page: str, url: str) -> Iterator[str]:
    """The addresses on this server that a page links to, those that its islands are given included."""
    found = [html.unescape(one) for one in HREF.findall(page)]
    for text in JSON_SCRIPT.findall(page):
        found += [one for one in _strings(json.loads(text)) if re.fullmatch(r"/[a-z][\w./-]*/", one)]
    for one in found:
        there = urlsplit(urljoin(url, "".join(PLACES.get(part, part) for part in re.split(r"\b(HOST|BRIDGE)\b", one))))
        if there.scheme == "" and not there.netloc and not there.path.startswith(("/static/", "/api/")):
            yield there._replace(fragment="").geturl()


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)
