"""The map of the running product: what is on both hosts is seen, chosen and kept true in a browser."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from lab.hypervisor import Hypervisor
from lab.paths import hypervisor_paths
from tests.e2e.api import Api
from tests.e2e.conftest import ARTIFACTS, CHROMIUM_ARGS, Product
from tests.e2e.guests import LABS
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]
NAMES = ("map-1", "map-2")


@pytest.fixture(scope="module")
def vms(api: Api) -> Iterator[dict[str, dict[str, Any]]]:
    """[map-1]--tap--[br-int@hvX]==vni 4097==[br-int@hvY]--tap--[map-2]"""
    made = {}
    for name in NAMES:
        status, answer = api.send(
            "POST", "/vms", {"name": name, "image": "tiny", "flavor": "nano", "network": "payments-net"}
        )
        assert status == 202, answer
        made[name] = answer["vm"]["uuid"]
    yield {
        name: wait_for(lambda uuid=uuid: _running(api, uuid), 120, f"{name} runs", 0.2) for name, uuid in made.items()
    }
    for uuid in made.values():
        api.send("DELETE", f"/vms/{uuid}")
    wait_for(lambda: all(api.get(f"/vms/{uuid}") is None for uuid in made.values()), 60, "they are gone", 0.2)


def _running(api: Api, uuid: str) -> dict[str, Any] | None:
    vm = api.get(f"/vms/{uuid}")
    return vm if vm and vm["state"] == "running" and vm["ports"][0]["tap"] else None


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGS)
        yield running
        running.close()


def _page(product: Product, browser: Browser, user: str) -> Page:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(30_000)
    page.goto(f"{product.url}/")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", product.passwords[user])
    page.press("input[name=password]", "Enter")
    expect(page).to_have_url(f"{product.url}/")
    page.goto(f"{product.url}/topology/")
    expect(page.locator("canvas[data-drawn]")).to_be_visible()
    return page


def test_the_map_shows_both_hosts_and_a_vm_is_found_and_walked_to(
    product: Product, browser: Browser, vms: dict[str, dict[str, Any]]
) -> None:
    page = _page(product, browser, "alice")
    assert {vm["host"] for vm in vms.values()} == {"hv1", "hv2"}, "the scheduler spreads"
    for host in ("hv1", "hv2"):
        expect(page.locator(f'[data-table=hosts] [data-object="host:{host}"]')).to_contain_text("br-int")
    for name, vm in vms.items():
        row = page.locator(f'[data-table=guests] [data-object="vm:{vm["uuid"]}"]')
        expect(row).to_contain_text(vm["ports"][0]["tap"])
        expect(row).to_contain_text(name)
    _find(page, "map-1")
    panel = page.get_by_role("complementary", name="Selection")
    expect(panel).to_contain_text(f"virsh dominfo hs-{vms['map-1']['uuid']}")
    expect(panel).to_contain_text(vms["map-1"]["ports"][0]["mac"])
    expect(page).to_have_url(re.compile(f"sel=vm:{vms['map-1']['uuid']}"))
    page.keyboard.press("ArrowDown")
    expect(panel).not_to_contain_text("virsh dominfo")
    page.keyboard.press("Escape")
    expect(panel).to_contain_text("Select a thing")
    page.screenshot(path=str(ARTIFACTS / "topology.png"))
    page.get_by_text("Logical", exact=True).click()
    _find(page, vms["map-2"]["address"])
    expect(panel).to_contain_text("map-2")
    page.screenshot(path=str(ARTIFACTS / "topology-logical.png"))
    page.context.close()


def _find(page: Page, text: str) -> None:
    page.locator("canvas[data-drawn]").focus()
    page.keyboard.press("/")
    page.keyboard.type(text)
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("Enter")


def test_traffic_arrives_on_the_map_while_it_flows(
    product: Product, browser: Browser, vms: dict[str, dict[str, Any]]
) -> None:
    page = _page(product, browser, "alice")
    _find(page, "map-2")
    argv = ["ip", "netns", "exec", f"hs-{product.lab}-access", "ping", "-i", "0.05", "-q", vms["map-2"]["address"]]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as pinging:
        try:
            rate = page.locator(".topo-rate")
            wait_for(
                lambda: re.search(r"[1-9][\d,]* packets/s", rate.inner_text() if rate.count() else ""),
                30,
                "a rate",
                0.2,
            )
        finally:
            pinging.terminate()
    page.context.close()


def test_what_an_operator_plugs_by_hand_appears_and_another_team_reads_a_number(
    product: Product, browser: Browser, vms: dict[str, dict[str, Any]]
) -> None:
    olga, dana = _page(product, browser, "olga"), _page(product, browser, "dana")
    database = f"--db=unix:{LABS}/{product.lab}/hv1/run/openvswitch/db.sock"
    plug = ["--", "add-br", "br-byhand", "--", "set", "Bridge", "br-byhand", "datapath_type=netdev"]
    subprocess.run(["ovs-vsctl", "--timeout=10", database, *plug], check=True)
    try:
        expect(olga.locator('[data-object="host:hv1"]').first).to_contain_text("br-byhand")
        expect(dana.locator('[data-object="host:hv1"]').first).to_contain_text("1 other bridge")
        _find(olga, "br-byhand")
        expect(olga.get_by_role("complementary", name="Selection")).to_contain_text("Foreign bridge")
        told = dana.content() + dana.request.get(f"{product.url}/api/v1/live/topology:search").text()
        assert not [
            word for word in ("br-byhand", "payments-net", *NAMES, *(vm["uuid"] for vm in vms.values())) if word in told
        ]
    finally:
        subprocess.run(["ovs-vsctl", "--timeout=10", database, "del-br", "br-byhand"], check=True)
    expect(olga.locator('[data-object="host:hv1"]').first).not_to_contain_text("br-byhand")
    for page in (olga, dana):
        page.context.close()


def test_what_changed_on_the_switches_is_told_with_its_cause_and_where_nobody_could_tell(
    product: Product, vms: dict[str, dict[str, Any]]
) -> None:
    olga = Api(product, "olga")
    for name, vm in vms.items():
        (tap,) = [one for one in changes(olga, vm=vm["uuid"]) if one["sign"] == "+"]
        assert (tap["host"], tap["object"]) == (vm["host"], f"port br-int/{vm['ports'][0]['tap']}")
        assert (tap["by"], tap["cause"], tap["guest"]) == ("operation", f"alice: Create VM {name}", f"VM {name}")
        assert [one["object"] for one in changes(olga, operation=tap["operation"])][-1] == tap["object"]
    database = f"--db=unix:{LABS}/{product.lab}/hv1/run/openvswitch/db.sock"
    plug = ["add-port", "br-int", "plugged7", "tag=7", "--", "set", "Interface", "plugged7", "type=internal"]
    subprocess.run(["ovs-vsctl", "--timeout=10", database, *plug], check=True)
    try:
        byhand = wait_for(lambda: changes(olga, host="hv1", q="plugged7"), 20, "the port is told", 0.2)[-1]
        assert (byhand["sign"], byhand["by"], byhand["after"]["tag"]) == ("+", "foreign", 7)
        _lose_ovsdb(product, olga)
    finally:
        subprocess.run(["ovs-vsctl", "--timeout=10", database, "del-port", "br-int", "plugged7"], check=True)
    # the controller of this product may have been killed before, which is a gap of its own
    gaps = wait_for(lambda: [one for one in changes(olga, host="hv1") if "OVSDB was not reached" in (one["why"] or "")], 40, "the gap ends", 0.2)  # fmt: skip
    gap = gaps[0]
    assert gap["kind"] == "gap" and gap["at"] < gap["until"]
    wait_for(lambda: changes(olga, host="hv1", q="plugged7")[0]["sign"] == "-", 20, "the port's end is told", 0.2)
    since = changes(olga, host="hv1", q="plugged7")[0]["at"]
    links = [
        one for one in changes(olga, host="hv1") if gap["at"] <= one["at"] < since and "link" in (one["after"] or {})
    ]
    assert links == [], "no link was lost: the database had only forgotten them"
    diff = olga.get(f"/topology/diff?{urlencode({'host': 'hv1', 'from': byhand['at'], 'to': since})}")
    (line,) = [line for line in diff["lines"] if line["object"] == "port br-int/plugged7"]
    assert (line["sign"], line["before"]["tag"], [one["why"] for one in diff["gaps"]]) == ("-", 7, [gap["why"]])


def changes(api: Api, **query: str) -> list[dict[str, Any]]:
    """The latest first."""
    found: list[dict[str, Any]] = api.get(f"/topology/history?{urlencode(query)}")["items"]
    return found


def _lose_ovsdb(product: Product, olga: Api) -> None:
    """hv1's ovsdb-server is killed, and started again when the product has noticed."""
    paths = hypervisor_paths(product.lab, 1)
    os.kill(int((paths.ovs_rundir / "ovsdb-server.pid").read_text()), signal.SIGKILL)
    try:
        known = wait_for(lambda: olga.get("/topology/history?host=hv1")["hosts"][0]["away"], 30, "it is missed", 0.2)
        assert "OVSDB was not reached" in known
    finally:
        Hypervisor(product.lab, paths).ensure()
