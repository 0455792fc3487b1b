"""The main job, as its user does it: two VMs made in the browser on two hypervisors, reached, their path drawn, deleted."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.conftest import ARTIFACTS, CHROMIUM_ARGS, ROOT, Product
from tests.e2e.guests import SSH_OPTIONS, at_address
from tests.waiting import wait_for

AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def page(product: Product, browser: Browser) -> Page:
    """Alice's browser, logged in through the form."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(30_000)
    page.goto(f"{product.url}/")
    page.fill("input[name=username]", "alice")
    page.fill("input[name=password]", product.passwords["alice"])
    page.press("input[name=password]", "Enter")
    expect(page).to_have_url(f"{product.url}/")
    return page


def _create(product: Product, page: Page, name: str, key: Path | None) -> None:
    page.goto(f"{product.url}/vms/create/")
    page.fill("input[name=name]", name)
    if key is not None:
        page.fill("textarea[name=new_key]", Path(f"{key}.pub").read_text().strip())
    page.screenshot(path=str(ARTIFACTS / f"create-{name}.png"))
    page.get_by_role("button", name=re.compile("Create and start")).click()
    page.wait_for_url(re.compile(r"/vms/[0-9a-f-]{36}/"))


def _vm(product: Product, page: Page, name: str) -> dict[str, Any]:
    answer = page.request.get(f"{product.url}/api/v1/vms")
    rows = answer.json()
    rows = rows["items"] if isinstance(rows, dict) else rows
    return next((row for row in rows if row["name"] == name), {})


def test_two_vms_made_in_the_browser_reach_each_other_and_their_path_is_drawn(
    product: Product, page: Page, key: Path
) -> None:
    """[web-9]--tap--[br-int@hvX]==vni 4097==[br-int@hvY]--tap--[db-9]"""
    _create(product, page, "web-9", key)
    page.screenshot(path=str(ARTIFACTS / "vm-creating.png"), full_page=True)
    _create(product, page, "db-9", None)
    for name in ("web-9", "db-9"):
        wait_for(
            lambda name=name: _vm(product, page, name).get("ssh_at"), 120, f"SSH of {name} answers\n{product.log()}"
        )
    web, db = _vm(product, page, "web-9"), _vm(product, page, "db-9")
    assert web["host"] != db["host"], "the scheduler spreads"
    addresses = [str(vm["address"]) for vm in (web, db)]

    # an address that another VM had a moment ago is in the namespace's neighbour table until it is asked for again
    wait_for(lambda: not at_address(product, key, addresses[0], "true").returncode, 60, "SSH from the access namespace")
    told = at_address(
        product, key, addresses[0], f"hostname; ping -c 3 {addresses[1]}; echo | nc -w 5 {addresses[1]} 22 | head -n 1"
    )
    assert "web-9" in told.stdout, told
    assert " 0% packet loss" in told.stdout or "33% packet loss" in told.stdout, told
    assert "SSH-2.0-dropbear" in told.stdout, told

    _reach_by_ipv6_and_by_name(product, key, web, db)
    page.goto(f"{product.url}/vms/{db['uuid']}/")
    expect(page.get_by_text(f"root@{addresses[1]}").first).to_be_visible()
    expect(page.get_by_text(f"root@{_ipv6(db)}").first).to_be_visible()
    page.screenshot(path=str(ARTIFACTS / "vm.png"), full_page=True)
    _trace(product, page, key, web, db)
    _delete(product, page, (web, db))


def _ipv6(vm: dict[str, Any]) -> str:
    return next(str(address) for address in vm["ports"][0]["addresses"] if ":" in str(address))


def _reach_by_ipv6_and_by_name(product: Product, key: Path, web: dict[str, Any], db: dict[str, Any]) -> None:
    """[access]--IPv6--[web-9]==vni==[db-9], found by its name, which the gateway resolves."""
    look = f"hostname; ping6 -c 3 {_ipv6(db)}; nslookup db-9; echo | nc -w 5 db-9 22 | head -n 1; ip -6 addr show eth0"
    told = wait_for(
        lambda: found if (found := at_address(product, key, _ipv6(web), look)).returncode == 0 else None,
        30,
        "SSH over IPv6",
    )
    assert "web-9" in told.stdout, told
    assert " 0% packet loss" in told.stdout or "33% packet loss" in told.stdout, told
    for known in (_ipv6(db), str(db["address"]), "db-9.payments-net.payments.internal", "SSH-2.0-dropbear", _ipv6(web)):
        assert known in told.stdout, told


def _trace(product: Product, page: Page, key: Path, web: dict[str, Any], db: dict[str, Any]) -> None:
    page.goto(f"{product.url}/trace/")
    page.select_option("select[name=source]", label=_option(page, "source", "web-9"))
    page.fill("input[name=target]", "db-9")
    page.locator("main form button.btn--pri").click()
    page.wait_for_url(re.compile(r"/trace/[0-9a-f-]{36}/"))
    expect(page.get_by_text("web-9 reaches db-9").first).to_be_visible()
    page.screenshot(path=str(ARTIFACTS / "trace.png"))
    uuid = re.search(r"/trace/([0-9a-f-]{36})/", page.url)[1]  # type: ignore[index]
    answer = page.request.get(f"{product.url}/api/v1/traces/{uuid}").json()
    result = answer["result"]
    assert result["verdict"] == "delivered"
    kinds = [hop["kind"] for hop in result["hops"]]
    assert kinds == [
        "guest_nic", "backend", "tap", "bridge", "tunnel_encap", "underlay_nic", "underlay", "underlay_nic", "tunnel_decap",
        "bridge", "tap", "backend", "guest_nic",
    ], kinds  # fmt: skip
    assert {hop["host"] for hop in result["hops"] if hop["kind"] == "bridge"} == {web["host"], db["host"]}
    _a_real_packet_agrees(product, page, uuid)
    _a_packet_a_second(page)
    _a_packet_is_handed_over(product, page)
    _the_next_connection(product, page, key, web, db)
    _counters_move(product, page, key, web, db)


def _the_next_connection(product: Product, page: Page, key: Path, web: dict[str, Any], db: dict[str, Any]) -> None:
    """The page waits for a ping that nobody sent yet, and then shows the way of its first packet; then back."""
    before = page.url
    page.locator("[data-real] button", has_text="Trace the next connection").click()
    expect(page.get_by_text("Waiting for web-9 to open a connection")).to_be_visible()
    uuid = re.search(r"/trace/([0-9a-f-]{36})/", page.url)[1]  # type: ignore[index]
    url = f"{product.url}/api/v1/traces/{uuid}"

    def answered() -> dict[str, Any] | None:
        at_address(product, key, str(web["address"]), f"ping -c 1 -s 77 {db['address']}")
        told: dict[str, Any] = page.request.get(url).json()
        return told if told["state"] not in ("waiting", "running") else None

    told = wait_for(answered, 40, "a ping is caught and traced", 0.5)
    assert (told["state"], told["result"]["verdict"]) == ("done", "delivered"), told
    assert any("the very packet that the guest sent" in found for found in told["result"]["findings"]), told
    expect(page.get_by_text("web-9 reaches db-9").first).to_be_visible(timeout=15_000)
    page.screenshot(path=str(ARTIFACTS / "trace-next.png"))
    page.goto(before)


def _a_packet_a_second(page: Page) -> None:
    """Loss and latency come onto the page while packets are sent, and stay when it is stopped."""
    page.locator("[data-real] summary").click()
    page.locator("[data-real] button", has_text="Send one packet a second").click()
    sent = page.locator("[data-probing-sent]")
    wait_for(lambda: int(sent.inner_text()) >= 4, 40, "packets are sent, without a reload", 0.3)
    expect(page.locator("[data-probing-chart] canvas")).to_be_visible()
    expect(page.locator("[data-probing-latency]")).to_contain_text("median")
    page.screenshot(path=str(ARTIFACTS / "trace-probing.png"), full_page=True)
    page.locator("[data-real] button", has_text="Stop").click()
    expect(page.locator("[data-real]")).to_contain_text("It was stopped.", timeout=20_000)
    assert int(page.locator("[data-probing-arrived]").inner_text()) >= 3


def _a_packet_is_handed_over(product: Product, page: Page) -> None:
    """The same question once more, whose packet the guest gets; then back."""
    before = page.url
    page.locator("[data-real] button", has_text="Hand one packet to db-9").click()
    page.wait_for_url(lambda url: "/trace/" in url and url != before)
    url = f"{product.url}/api/v1/traces/{re.search(r'/trace/([0-9a-f-]{36})/', page.url)[1]}"  # type: ignore[index]
    probed = wait_for(lambda: page.request.get(url).json()["probe"], 30, "the packet's fate", 0.3)
    assert "it was given to the guest" in probed["trace"]["reason"], probed
    page.goto(before)


def _a_real_packet_agrees(product: Product, page: Page, uuid: str) -> None:
    """A probe crossed the same VXLAN: both switches reported it, and its lane is on the page without a reload."""
    probed = wait_for(
        lambda: page.request.get(f"{product.url}/api/v1/traces/{uuid}").json()["probe"], 20, "the probe's answer", 0.2
    )
    assert probed["divergence"] is None, probed
    bridges = [hop for hop in probed["trace"]["hops"] if hop["kind"] == "bridge"]
    assert len(bridges) == 2, probed
    for hop in bridges:  # a range that never reaches below nothing, whichever of the two sockets was read first
        assert hop["latency_us"] > 0 and 0 < hop["latency_error_us"] <= hop["latency_us"] * 1.001, probed
    expect(page.locator("[data-lane=probed] .ln.meas").first).to_be_visible()


def _counters_move(product: Product, page: Page, key: Path, web: dict[str, Any], db: dict[str, Any]) -> None:
    """While a ping runs, the packet counters of the path change on the page without a reload."""
    argv = ["ssh", "-i", str(key), *SSH_OPTIONS, f"root@{web['address']}", f"ping -i 0.2 -c 300 {db['address']}"]
    prefix = ["ip", "netns", "exec", f"hs-{product.lab}-access"]
    pinging = subprocess.Popen([*prefix, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        rates = wait_for(
            lambda: page.locator("text=/\\+[1-9][0-9.,]* ?\\/s/").count(), 20, "counters move on the page", 0.2
        )
        assert rates > 0
        page.screenshot(path=str(ARTIFACTS / "trace-counting.png"))
        _real_traffic_is_seen(product, page)
        _packets_are_captured(product, page)
    finally:
        pinging.terminate()
        pinging.wait()


def _real_traffic_is_seen(product: Product, page: Page) -> None:
    """The pings' datapath entries on both hosts are joined into the third lane, live, and over the API."""
    uuid = re.search(r"/trace/([0-9a-f-]{36})/", page.url)[1]  # type: ignore[index]
    url = f"{product.url}/api/v1/traces/{uuid}/observed"
    seen = wait_for(lambda: _pinging(page.request.get(url).json()["forward"]), 20, "pings are seen", 0.3)
    assert (seen["trace"]["verdict"], seen["divergence"]) == ("delivered", None), seen
    assert "agree" in seen["sentence"] and {one["host"] for one in seen["connections"]} == {"hv1", "hv2"}, seen
    expect(page.locator("[data-lane=observed] .ln.meas").nth(1)).to_be_visible()
    page.locator("[data-lane=observed] button").click()
    page.locator(".tr-real summary").click()
    expect(page.locator(".tr-real [data-sentence]")).to_contain_text("real traffic agree")
    page.screenshot(path=str(ARTIFACTS / "trace-observed.png"))


def _packets_are_captured(product: Product, page: Page) -> None:
    """Copies of the pings at both taps and in both tunnels, listed while they come, and as a file at the end."""
    page.locator(".tr-q a", has_text="Capture").click()
    page.locator("input[name=packets]").fill("40")
    _is_accessible(page, "capture-new.png")
    page.get_by_role("button", name="Start capturing").click()
    page.wait_for_url(re.compile(r"/captures/[0-9a-f-]{36}/"))
    expect(page.locator("[data-part=capture-packets] tbody tr").nth(7)).to_be_visible(timeout=20_000)
    expect(page.get_by_text("40 packets were caught")).to_be_visible(timeout=30_000)
    expect(page.locator("tbody td", has_text="as no. 1,").first).to_be_visible()
    _is_accessible(page, "capture.png")
    uuid = re.search(r"/captures/([0-9a-f-]{36})/", page.url)[1]  # type: ignore[index]
    caught = page.request.get(f"{product.url}/api/v1/captures/{uuid}").json()
    assert len({packet["point"] for packet in caught["packets"]}) == 4, caught["points"]
    assert max(len(sights) for sights in caught["meetings"]) == 4, "one packet at four hops"
    assert page.request.get(f"{page.url}packets.pcapng").body()[:4] == b"\n\r\r\n"


def _is_accessible(page: Page, shot: str) -> None:
    """WCAG AA by axe, on a page that only a running VM has."""
    page.screenshot(path=str(ARTIFACTS / shot))
    page.evaluate(AXE.read_text())
    told = page.evaluate(
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']}).then((told) => told.violations)"
    )
    assert not told, [(one["id"], one["nodes"][0]["html"]) for one in told]


def _pinging(view: dict[str, Any] | None) -> dict[str, Any] | None:
    return view if view and view["trace"]["verdict"] == "delivered" and view["pps"] > 0 else None


def _option(page: Page, select: str, name: str) -> str:
    labels = page.locator(f"select[name={select}] option").all_inner_texts()
    return next(label for label in labels if name in label)


def _delete(product: Product, page: Page, vms: tuple[dict[str, Any], ...]) -> None:
    for vm in vms:
        page.goto(f"{product.url}/vms/{vm['uuid']}/delete/")
        page.get_by_role("button", name="Delete for good now").click()
    for vm in vms:
        wait_for(lambda vm=vm: not _vm(product, page, str(vm["name"])), 60, f"{vm['name']} is gone\n{product.log()}")
    root = Path("/var/lib/hopsight/labs") / product.lab
    for host in ("hv1", "hv2"):
        uri = f"qemu+unix:///system?socket={root}/{host}/run/libvirt/libvirt-sock"
        domains = subprocess.run(
            ["virsh", "-c", uri, "list", "--all", "--name"], capture_output=True, text=True, check=True
        )
        assert not domains.stdout.strip()
        assert not [path for path in (root / host / "disks").iterdir() if path.name.startswith("hs-")]
        database = f"--db=unix:{root}/{host}/run/openvswitch/db.sock"
        ports = subprocess.run(
            ["ovs-vsctl", database, "list-ports", "br-int"], capture_output=True, text=True, check=True
        )
        assert not [port for port in ports.stdout.split() if port.startswith("vnet")]
        wait_for(lambda host=host: not _flows_of(root / host, vms), 20, f"flows on {host} are gone")


def _flows_of(root: Path, vms: tuple[dict[str, Any], ...]) -> list[str]:
    switch = f"unix:{root}/run/openvswitch/br-int.mgmt"
    dump = subprocess.run(
        ["ovs-ofctl", "-O", "OpenFlow14", "dump-flows", switch], capture_output=True, text=True, check=True
    )
    return [line for line in dump.stdout.splitlines() if any(vm["ports"][0]["mac"] in line for vm in vms)]


def test_another_teams_vm_does_not_exist(product: Product, browser: Browser) -> None:
    page = browser.new_context().new_page()
    page.goto(f"{product.url}/")
    page.fill("input[name=username]", "dana")
    page.fill("input[name=password]", product.passwords["dana"])
    page.press("input[name=password]", "Enter")
    expect(page).to_have_url(f"{product.url}/")
    assert (
        json.loads(page.request.get(f"{product.url}/api/v1/vms").text())["items"] == [] or "web-9" not in page.content()
    )
