"""The dashboard's first load in Chromium, with nothing cached: the scripts' weight, and how long until it can be worked with.

`dashboard_interactive_ms`: from the navigation's start until the page's own modules have run (they are deferred, so that is the
end of DOMContentLoaded), which is when each island answers keys and clicks. `dashboard_js_kb`: every script that the load
fetched, each compressed by gzip, as a front that compresses sends them. The references are the bars.
"""

from __future__ import annotations

import gzip
import statistics
from typing import Any

from bench.pages import logged_in
from bench.vms import running_product

PORT = 8137
ROUNDS = 20
BAR_MS, BAR_KB = 1000, 150
CHART = ".chart-draw canvas"
TIMING = "() => performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
DRAWN = "() => performance.now()"


def first_load() -> dict[str, object]:
    """Both figures, of a board of a team that has nothing yet."""
    with running_product(PORT) as product:
        return measured(f"http://127.0.0.1:{PORT}", "alice", product.passwords["alice"])


def measured(url: str, name: str, password: str) -> dict[str, object]:
    """Both figures of the person's dashboard there."""
    ready, drawn = [], []
    with logged_in(url, name, password) as page:
        devtools = page.context.new_cdp_session(page)
        devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
        bodies: dict[str, bytes] = {}
        page.on("response", lambda answer: _keep(answer, bodies))
        for _ in range(ROUNDS):
            bodies.clear()
            page.goto(f"{url}/")
            page.wait_for_selector(CHART)
            ready.append(page.evaluate(TIMING))
            drawn.append(page.evaluate(DRAWN))
    p95 = statistics.quantiles(ready, n=20)[-1]
    weight_kb = sum(len(gzip.compress(body)) for body in bodies.values()) / 1000
    how = f"p95 of {ROUNDS} loads without a cache, median {statistics.median(ready):.0f} ms; the first chart is drawn at {statistics.median(drawn):.0f} ms (median); reference: the bar"  # fmt: skip
    files = f"{len(bodies)} scripts, each by gzip, {sum(map(len, bodies.values())) / 1000:.0f} kB as they are; reference: the bar"  # fmt: skip
    return {
        "dashboard_interactive_ms": {"ours": round(p95), "reference": BAR_MS, "ratio": round(p95 / BAR_MS, 3), "unit": "ms", "how": how},
        "dashboard_js_kb": {"ours": round(weight_kb, 1), "reference": BAR_KB, "ratio": round(weight_kb / BAR_KB, 3), "unit": "kB", "how": files},
    }  # fmt: skip


def _keep(answer: Any, bodies: dict[str, bytes]) -> None:
    if ".js" in answer.url:
        bodies[answer.url] = answer.body()
