"""From a flow's change on the switch to the changed page: `ovs-ofctl add-flow` until the row is in Chromium's DOM.

The clock starts when ovs-ofctl has returned. Both sides read the same machine's clock; the page's is the time of a
MutationObserver's call, so that nothing polls. Under load, another 1,000 flows change in every second meanwhile. Before each round
is a pause of random length: the page has a frame every 50 ms at most, and a round begun by the last one's frame would always
wait for nearly a whole one.
"""

from __future__ import annotations

import random
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.vms import running_product

ROUNDS = 50
CHANGES_PER_S = 1000
LOADED_FLOWS = 400
PAUSE_S = 0.2  # at most: several frames long
WATCH = """
() => {
  window.seen = {};
  const look = (node) => {
    if (node.nodeType !== 1) return;
    for (const row of [node, ...node.querySelectorAll('[data-object]')]) {
      const key = row.dataset?.object;
      if (key && !(key in window.seen)) window.seen[key] = performance.timeOrigin + performance.now();
    }
  };
  new MutationObserver((records) => {
    for (const record of records) {
      for (const node of record.addedNodes) look(node);
      if (record.type === 'attributes') look(record.target);
    }
  }).observe(document.getElementById('flows'), { childList: true, subtree: true, attributes: true, attributeFilter: ['data-object'] });
}
"""


def flow_change_to_page() -> dict[str, dict[str, object]]:
    """`flow_change_to_page` when quiet and `change_to_page` under load, p50 and p95/p99; against `ovs-ofctl add-flow`."""
    with running_product(18_401) as product, _page(product.url, product.passwords["olga"]) as page:
        switch = f"unix:{product.rundir('hv1')}/br-int.mgmt"
        quiet, reference = _rounds(page, switch, 0)
        with _load(switch) as achieved:
            loaded, _ = _rounds(page, switch, 100_000)
            per_s = achieved()
    return {
        "flow_change_to_page": _figure(quiet, reference, 0.95, f"{ROUNDS} rounds, nothing else changes"),
        "change_to_page": _figure(loaded, reference, 0.99, f"{ROUNDS} rounds while {per_s:.0f} flows a second change"),
    }


def _figure(ours: list[float], reference: list[float], high: float, how: str) -> dict[str, object]:
    mine, theirs = statistics.median(ours), statistics.median(reference)
    tail = sorted(ours)[min(len(ours) - 1, int(len(ours) * high))]
    how += f"; p{high * 100:.0f} {tail:.1f} ms; from ovs-ofctl's return to the DOM; reference: one ovs-ofctl add-flow"
    ratio = round(mine / theirs, 2)
    return {"ours": round(mine, 1), "reference": round(theirs, 1), "ratio": ratio, "unit": "ms", "how": how}


def _rounds(page: Any, switch: str, first: int) -> tuple[list[float], list[float]]:
    ours, reference = [], []
    chance = random.Random(first)
    for number in range(first, first + ROUNDS):
        time.sleep(chance.uniform(0, PAUSE_S))
        match = f"reg1={number + 1:#x}"
        began = time.time()
        _ofctl(switch, "add-flow", f"cookie=0x77,table=201,priority=9,{match},actions=drop")
        done = time.time()
        key = f"table=201,priority=9,{match}"
        page.wait_for_function("key => window.seen[key]", arg=key, timeout=10_000)
        ours.append(max(0.0, page.evaluate("key => window.seen[key]", key) - done * 1000))
        reference.append((done - began) * 1000)
        _ofctl(switch, "del-flows", f"table=201,{match}")
    return ours, reference


def _ofctl(switch: str, verb: str, flow: str) -> None:
    subprocess.run(["ovs-ofctl", "-O", "OpenFlow14", verb, switch, flow], check=True)


@contextmanager
def _load(switch: str) -> Iterator[Any]:
    """1,000 changes a second: flows of table 202 come in tens, and change again; yields a function that tells the rate."""
    stop, made, began = threading.Event(), [0], time.monotonic()

    def change() -> None:
        argv = ["ovs-ofctl", "-O", "OpenFlow14", "add-flows", switch, "-"]
        while not stop.is_set():
            due = int((time.monotonic() - began) * CHANGES_PER_S) - made[0]
            if due < CHANGES_PER_S // 20:
                stop.wait(0.01)
                continue
            lines = (
                f"cookie=0x78,table=202,reg2={(made[0] + at) % LOADED_FLOWS:#x},actions=output:{(made[0] + at) % 999 + 1}"
                for at in range(due)
            )
            subprocess.run(argv, input="\n".join(lines), text=True, check=True)
            made[0] += due

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield lambda: made[0] / (time.monotonic() - began)
    finally:
        stop.set()
        thread.join()


@contextmanager
def _page(url: str, password: str) -> Iterator[Any]:
    with logged_in(url, "olga", password) as page:
        page.goto(f"{url}/flows/hv1/br-int/?q=table%3D201%20or%20table%3D0")
        page.wait_for_selector("#flows [data-object]")
        page.evaluate(WATCH)
        yield page


@contextmanager
def logged_in(url: str, name: str, password: str, script: str = "") -> Iterator[Any]:
    """Chromium with that person logged in; `script` runs first on every page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        if script:
            page.add_init_script(script)
        page.goto(f"{url}/login/")
        page.fill("input[name=username]", name)
        page.fill("input[name=password]", password)
        page.click("main button, form button")
        page.wait_for_url(re.compile(r"^(?!.*login)"))
        yield page
        browser.close()
