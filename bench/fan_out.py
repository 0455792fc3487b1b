"""A thousand sockets on one web process, 200 events a second to all of them: how late the last ones are, and whether any is lost.

The reference is a bare relay of uvicorn and Redis in the same run, which joins what comes within 50 ms as we do, and knows no
people, topics or rights. Each side has its own Redis, and the same readers in a process of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SOCKETS = int(os.environ.get("FAN_OUT_SOCKETS", "1000"))
EVENTS_PER_S, SECONDS, PATIENCE_S = 200, 15, 30
LONG_S, MOST_GROWN = 600, 0.5
FRAME_EVERY_S = 0.05
TOPIC = "team:payments"
ROOT = Path(__file__).parent.parent
AT = re.compile(r'"sent":([\d.]+)')


def fan_out() -> dict[str, dict[str, object]]:
    """`fan_out_p99_ms`, `fan_out_lost` and `fan_out_cpu_us_per_frame`, each against the bare relay."""
    with tempfile.TemporaryDirectory(prefix="hs-fan-") as folder:
        ours = _measured(Path(folder) / "ours", "portal.config.asgi:application", is_ours=True)
        bare = _measured(Path(folder) / "bare", "bench.fan_out:relay", is_ours=False)
    how = (
        f"{SOCKETS} sockets, {EVENTS_PER_S} events/s for {SECONDS} s, {ours['frames']:.1f} frames/s each, "
        f"p50 {ours['p50']:.0f} ms; web process {ours['rss_mib']:.0f} MiB, grown by {ours['grown_mib']:.0f}; "
        f"reference: a bare uvicorn and Redis relay, p50 {bare['p50']:.0f} ms, {bare['frames']:.1f} frames/s"
    )
    ratio = round(ours["p99"] / bare["p99"], 2)
    late = {"ours": round(ours["p99"]), "reference": round(bare["p99"]), "ratio": ratio, "unit": "ms", "how": how}
    lost = {"ours": int(ours["lost"]), "reference": int(bare["lost"]), "ratio": 1.0, "unit": "events", "how": "of all that were sent to all sockets"}  # fmt: skip
    cpu = {
        "ours": round(ours["cpu_us"]), "reference": round(bare["cpu_us"]), "ratio": round(ours["cpu_us"] / bare["cpu_us"], 2), "unit": "us",
        "how": "processor time of the web process for one frame to one socket: what a busy machine does not change",
    }  # fmt: skip
    return {"fan_out_p99_ms": late, "fan_out_lost": lost, "fan_out_cpu_us_per_frame": cpu}


def fan_out_memory() -> dict[str, object]:
    """How much larger the web process is after ten minutes of the same; the reference is the most that it may have grown."""
    with tempfile.TemporaryDirectory(prefix="hs-fan-") as folder:
        told = _measured(Path(folder) / "ours", "portal.config.asgi:application", is_ours=True, seconds=LONG_S)
    grown = told["grown_mib"] / (told["rss_mib"] - told["grown_mib"])
    how = (
        f"{SOCKETS} sockets, {EVENTS_PER_S} events/s for {LONG_S} s: {told['rss_mib']:.0f} MiB at the end, grown by {told['grown_mib']:.1f}; "
        f"{told['lost']:.0f} lost, p50 {told['p50']:.0f} ms, p99 {told['p99']:.0f} ms, {told['frames']:.1f} frames/s each; reference: the bar"
    )
    return {"ours": round(grown, 3), "reference": MOST_GROWN, "ratio": round(grown / MOST_GROWN, 3), "unit": "of its memory when all had joined", "how": how}  # fmt: skip


def _measured(state: Path, application: str, *, is_ours: bool, seconds: int = SECONDS) -> dict[str, float]:
    """Latency of every frame's oldest event, what was lost, frames a second of a socket, the web process's memory."""
    state.mkdir()
    with redis_at(state) as redis_url:
        environment = {
            **os.environ, "HOPSIGHT_STATE": str(state), "HOPSIGHT_REDIS": redis_url, "HOPSIGHT_LOG": "ERROR",
            "DJANGO_SETTINGS_MODULE": "portal.config.settings",
        }  # fmt: skip
        cookie = _prepared(environment) if is_ours else ""
        with _web(application, environment) as (port, pid):
            argv = [sys.executable, "-m", "bench.fan_out", str(port), redis_url, cookie, str(pid), str(seconds)]
            done = subprocess.run(
                argv, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 300
            )
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
            return told


def _prepared(environment: dict[str, str]) -> str:
    """A database with one person in one team; the session's cookie."""
    script = (
        "import django; django.setup()\n"
        "from django.core.management import call_command\n"
        "call_command('migrate', verbosity=0)\n"
        "from django.test import Client\n"
        "from portal.accounts.models import Membership, Team, User\n"
        "user = User.objects.create(username='alice'); team = Team.objects.create(name='Payments', slug='payments')\n"
        "Membership.objects.create(user=user, team=team, role='owner')\n"
        "client = Client(); client.force_login(user); print(client.cookies['sessionid'].value)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout.split()[-1]


@contextmanager
def redis_at(state: Path) -> Iterator[str]:
    path = state / "r.sock"
    argv = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(state)]
    server = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        _wait(path.exists)
        yield f"unix://{path}"
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def _web(application: str, environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--log-level", "error", "--no-access-log"]  # fmt: skip
    server = subprocess.Popen(argv, env=environment, cwd=ROOT)
    try:
        _wait(lambda: _listens(port))
        yield port, server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(is_so: Any, deadline_s: float = 60) -> None:
    end = time.monotonic() + deadline_s
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError("the bench's server does not listen")
        time.sleep(0.05)


_sockets: set[asyncio.Queue[str]] = set()
_reader: list[asyncio.Task[None]] = []


async def relay(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The bare relay: what Redis publishes goes to every socket, gathered for 50 ms."""
    if scope["type"] != "websocket":
        return
    if not _reader:
        _reader.append(asyncio.create_task(_relayed()))
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": '{"joined":""}'})
    queue: asyncio.Queue[str] = asyncio.Queue()
    _sockets.add(queue)
    try:
        while True:
            texts = [await queue.get()]
            texts += [queue.get_nowait() for _ in range(queue.qsize())]
            await send({"type": "websocket.send", "text": f"[{','.join(texts)}]"})
            await asyncio.sleep(FRAME_EVERY_S)
    finally:
        _sockets.discard(queue)


async def _relayed() -> None:
    import redis.asyncio

    client = redis.asyncio.Redis.from_url(os.environ["HOPSIGHT_REDIS"])
    async with client.pubsub() as channel:
        await channel.psubscribe("hopsight:live:*")
        async for message in channel.listen():
            if message["type"] == "pmessage":
                for queue in _sockets:
                    queue.put_nowait(message["data"].decode())


class Readers:
    """A thousand sockets in this process. A frame is not parsed, only searched: parsing would be most of what is measured."""

    def __init__(self) -> None:
        self.late_ms = array("f")
        self.heard: list[int] = []
        self.frames = 0
        self.joined = 0

    async def read(self, url: str, cookie: str) -> None:
        import websockets

        headers = {"Cookie": f"sessionid={cookie}"} if cookie else {}
        async with websockets.connect(url, additional_headers=headers, origin=_origin(url), ping_interval=None, compression=None, max_queue=None) as wire:  # fmt: skip
            await wire.send(json.dumps({"join": TOPIC}))
            index = len(self.heard)
            self.heard.append(0)
            async for text in wire:
                now = time.time()
                oldest = AT.search(str(text))
                if oldest is None:
                    self.joined += '"joined"' in str(text)
                    continue
                self.late_ms.append((now - float(oldest[1])) * 1000)
                self.heard[index] += str(text).count('"sent":')
                self.frames += 1


def _origin(url: str) -> Any:
    return "http://" + url.split("/")[2]


async def _run(port: int, redis_url: str, cookie: str, pid: int, seconds: int) -> dict[str, float]:
    import redis.asyncio

    readers, url = Readers(), f"ws://127.0.0.1:{port}/ws/live"
    tasks = []
    for at in range(SOCKETS):
        tasks.append(asyncio.create_task(readers.read(url, cookie)))
        while at - readers.joined > 20:
            await asyncio.sleep(0.005)
    while readers.joined < SOCKETS:
        await asyncio.sleep(0.05)
    before, cpu = _rss_mib(pid), _cpu_s(pid)
    client, sent = redis.asyncio.Redis.from_url(redis_url), 0
    began = time.time()
    while (passed := time.time() - began) < seconds:
        while sent < passed * EVENTS_PER_S:
            sent += 1
            event = {"seq": sent, "at": "", "topic": TOPIC, "type": "vm.changed", "object": f"vm:{sent % 50}", "data": {"sent": time.time(), "state": "running"}}  # fmt: skip
            await client.publish(f"hopsight:live:{TOPIC}", json.dumps(event, separators=(",", ":")))
        await asyncio.sleep(0.004)
    end = time.time() + PATIENCE_S
    while sum(readers.heard) < sent * SOCKETS and time.time() < end:
        await asyncio.sleep(0.1)
    cpu = _cpu_s(pid) - cpu
    tail = statistics.quantiles(readers.late_ms, n=100)
    for task in tasks:
        task.cancel()
    return {
        "p50": tail[49], "p99": tail[98], "lost": sent * SOCKETS - sum(readers.heard),
        "cpu_us": cpu * 1e6 / max(readers.frames, 1),
        "frames": readers.frames / SOCKETS / seconds, "rss_mib": _rss_mib(pid), "grown_mib": _rss_mib(pid) - before,
    }  # fmt: skip


def _cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mib(pid: int) -> float:
    words = Path(f"/proc/{pid}/statm").read_text().split()
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    _, port_, redis_, cookie_, pid_, seconds_ = sys.argv
    print(json.dumps(asyncio.run(_run(int(port_), redis_, cookie_, int(pid_), int(seconds_)))))
