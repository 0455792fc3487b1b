"""The map under load in headless Chromium, drawn in software: frames while panning with changes arriving, and the first
picture. The reference is what the bars say (30 frames/s, 1.5 s), beside the frames that the same browser gives an empty
page in the same run.
"""

from __future__ import annotations

import functools
import json
import shutil
import statistics
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
STYLES = ("tokens.css", "app.css", "pages.css", "topology.css")
ARGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
BAR_FPS, BAR_FIRST_MS, BAR_USABLE_FPS = 30.0, 1500.0, 10.0
PAN_MS = 3000
CHANGES_PER_S = 500
ROUNDS = 3
ZOOMS = {"all": None, "grouped": 0.05, "folded": 0.16, "boxes": 0.3, "words": 0.6, "close": 1.0}
Metric = dict[str, object]


def measure_topology() -> dict[str, Metric]:
    """Every zoom of the 5,000-port map counts: the slowest is the figure."""
    with _site() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(ARGS))
        try:
            small = [_run(browser.new_page(viewport=_SIZE), url, 200, 25) for _ in range(ROUNDS)]
            large = _run(browser.new_page(viewport=_SIZE), url, 200, 250)
        finally:
            browser.close()
    return {
        "topology_fps_5k": _frames(small, BAR_FPS, "5,000 ports on 200 hosts"),
        "topology_first_picture_ms": _first(small, "5,000 ports on 200 hosts"),
        "topology_fps_50k": _frames([large], BAR_USABLE_FPS, "50,000 ports on 200 hosts"),
        "topology_first_picture_50k_ms": _first([large], "50,000 ports on 200 hosts"),
    }


_SIZE: Any = {"width": 1440, "height": 900}


def _run(page: Page, url: str, hosts: int, guests: int) -> dict[str, Any]:
    page.set_default_timeout(120_000)
    page.goto(url)
    page.wait_for_function("window.bench !== undefined")
    idle = page.evaluate("window.bench.idle(1500)")
    load = {"hosts": hosts, "guestsPerHost": guests, "changesPerS": CHANGES_PER_S}
    first = page.evaluate("load => window.bench.begin(load)", load)
    pans = {}
    for name, zoom in ZOOMS.items():
        z = page.evaluate("window.bench.fitZoom()") if zoom is None else zoom
        pans[name] = page.evaluate("([z, ms]) => window.bench.pan(z, ms)", [z, PAN_MS])
        if name == "words":
            page.screenshot(path=str(ROOT / "tests" / "artifacts" / f"topology-{hosts * guests}.png"))
    page.close()
    return {"idle": idle, "first_ms": first, "pans": pans}


def _frames(runs: list[dict[str, Any]], bar: float, what: str) -> Metric:
    by_zoom = {name: statistics.median(run["pans"][name]["drawn"] for run in runs) for name in ZOOMS}
    slowest = min(by_zoom, key=lambda name: by_zoom[name])
    arrived = statistics.median(run["pans"][slowest]["changes"] for run in runs)
    idle = statistics.median(run["idle"] for run in runs)
    seen = ", ".join(f"{name} {fps:.0f}" for name, fps in by_zoom.items())
    return {
        "ours": round(by_zoom[slowest], 1),
        "reference": bar,
        "ratio": round(by_zoom[slowest] / bar, 2),
        "unit": "frames/s",
        "how": f"{what}, panning, {arrived:.0f} changes/s arriving, headless Chromium, software drawing, 1440×900, slowest of the "
        f"zooms ({seen}); an empty page gives {idle:.0f}; median of {len(runs)}; reference: the bar",
    }  # fmt: skip


def _first(runs: list[dict[str, Any]], what: str) -> Metric:
    first = statistics.median(run["first_ms"] for run in runs)
    return {
        "ours": round(first),
        "reference": BAR_FIRST_MS,
        "ratio": round(first / BAR_FIRST_MS, 2),
        "unit": "ms",
        "how": f"{what}: from the page's text to the first picture on the canvas, worker start included; median of "
        f"{len(runs)}; reference: the bar",
    }  # fmt: skip


@contextmanager
def _site() -> Iterator[str]:
    """A page that loads the built island with the product's own styles, and nothing else."""
    subprocess.run(["npx", "vite", "build", "--mode", "bench"], cwd=ROOT / "frontend", check=True, capture_output=True)
    built = ROOT / "frontend" / "dist-bench"
    entry = json.loads((built / ".vite" / "manifest.json").read_text())["src/bench/topology.ts"]
    (ROOT / "tests" / "artifacts").mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="hs-bench-") as folder:
        static = Path(folder) / "static"
        shutil.copytree(built, static)
        for name in STYLES:
            shutil.copy(ROOT / "portal" / "static" / name, static / name)
        sheets = "".join(f'<link rel="stylesheet" href="/static/{name}">' for name in (*STYLES, *entry.get("css", ())))
        script = f'<script type="module" src="/static/{entry["file"]}"></script>'
        page = f'<!doctype html><meta charset="utf-8"><title>bench</title>{sheets}<div id="stage" style="height:100vh"></div>{script}'
        (Path(folder) / "index.html").write_text(page)
        server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
