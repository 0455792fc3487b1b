"""A console of a running product against the same without it.

`console_echo_ms`: a key typed into the tiny guest's shell until its echo, through the WebSocket; reference: written to and
read from the guest's pseudo-terminal itself. `console_throughput`: whole raw frames of a guest's screen, asked for one
after the other, through the WebSocket; reference: the same client on a VNC connection that libvirt hands over.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.trace_api import Client
from bench.vms import ROOT, running_product

PORT = 18400
KEYS, FRAMES, WARM_UP = 200, 40, 5
PATIENCE_S = 120.0
ACK_BYTES = 32 * 1024


class WebSocketBytes:
    """A console's socket as a stream of bytes, acknowledged as it is read."""

    def __init__(self, client: Client, vm: str, kind: str) -> None:
        from websockets.sync.client import connect

        form = f"kind={kind}"
        status, text = client.ask("POST", f"/vms/{vm}/console/ticket/", form, "application/x-www-form-urlencoded")
        told = json.loads(text)
        assert status == 200 and "ticket" in told, text
        cookie = "; ".join(f"{name}={value}" for name, value in client._cookies.items())
        url, origin = f"ws://127.0.0.1:{PORT}{told['socket']}", f"http://127.0.0.1:{PORT}"
        self._socket = connect(url, additional_headers={"Cookie": cookie}, origin=origin, max_size=None)  # type: ignore[arg-type]
        self._socket.send(json.dumps({"ticket": told["ticket"]}))
        self._untold = 0

    def send(self, data: bytes) -> None:
        self._socket.send(data)

    def read(self) -> bytes:
        while isinstance(message := self._socket.recv(timeout=30), str):
            assert "closed" not in message, message
        self._untold += len(message)
        if self._untold >= ACK_BYTES:
            self._socket.send(json.dumps({"ack": self._untold}))
            self._untold = 0
        return bytes(message)

    def close(self) -> None:
        self._socket.close()


class FileBytes:
    """A pseudo-terminal or a socket, by its descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def send(self, data: bytes) -> None:
        os.write(self._fd, data)

    def read(self) -> bytes:
        ready, _, _ = select.select([self._fd], [], [], 30)
        assert ready, "nothing came for 30 s"
        return os.read(self._fd, 262144)

    def close(self) -> None:
        os.close(self._fd)


Bytes = WebSocketBytes | FileBytes


def echo_ms(line: Bytes) -> float:
    """The median time from a key to its echo, at a shell's prompt."""
    _await(line, b"\n", b"# ")
    _await(line, b"stty -icanon; echo rea''dy; cat >/dev/null\n", b"ready\r\n")
    time.sleep(1)  # until cat reads
    took = []
    for number in range(KEYS + WARM_UP):
        key = b"%c" % (97 + number % 26)
        began = time.perf_counter()
        line.send(key)
        while key not in line.read():
            pass
        if number >= WARM_UP:
            took.append((time.perf_counter() - began) * 1000)
    line.send(b"\x03")
    line.close()
    return statistics.median(took)


def _await(line: Bytes, typed: bytes, wanted: bytes) -> None:
    line.send(typed)
    seen = b""
    while wanted not in seen:
        seen += line.read()


def frames_mb_per_s(screen: Bytes) -> float:
    """Whole raw frames a second, as bytes."""
    rest = b""

    def exactly(count: int) -> bytes:
        nonlocal rest
        parts, held = [rest], len(rest)
        while held < count:
            parts.append(screen.read())
            held += len(parts[-1])
        whole = b"".join(parts)
        rest = whole[count:]
        return whole[:count]

    exactly(12)
    screen.send(b"RFB 003.008\n")
    exactly(exactly(1)[0])
    screen.send(b"\x01")
    assert exactly(4) == b"\0\0\0\0", "QEMU wants a password"
    screen.send(b"\x01")
    width, height, _, name = struct.unpack("!HH16sI", exactly(24))
    exactly(name)
    screen.send(struct.pack("!BxHi", 2, 1, 0))
    total, began = 0, 0.0
    for number in range(FRAMES + WARM_UP):
        if number == WARM_UP:
            total, began = 0, time.perf_counter()
        screen.send(struct.pack("!BBHHHH", 3, 0, 0, 0, width, height))
        (rectangles,) = struct.unpack("!xxH", exactly(4))
        for _ in range(rectangles):
            _, _, wide, high, encoding = struct.unpack("!HHHHi", exactly(12))
            assert encoding == 0, encoding
            total += len(exactly(wide * high * 4))
    took_s = time.perf_counter() - began
    screen.close()
    return total / took_s / 1e6


def console() -> dict[str, object]:
    """Both figures."""
    with running_product(PORT) as product:
        argv = [sys.executable, "-m", "bench.console"]
        told = subprocess.run(argv, env=product.environment, cwd=ROOT, capture_output=True, text=True, timeout=900)
    if told.returncode:
        raise RuntimeError(told.stderr[-2000:])
    return dict(json.loads(told.stdout.splitlines()[-1]))


def _measure() -> dict[str, dict[str, object]]:
    """In a process with the product's settings: two guests, then each figure with and without us."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.config.settings")
    django.setup()
    from django.conf import settings

    from lab.images.keyboard import write_keyboard_disk
    from portal.compute.models import Image

    disk = write_keyboard_disk(Path(settings.STATE_DIR) / "keyboard.raw")
    keyboard = Image.objects.create(slug="keyboard", name="Keyboard", disk_path=str(disk), disk_format="raw")
    shell = _guest("shell", Image.objects.get(slug="tiny"), lambda vm: vm.ssh_at is not None)
    screen = _guest("screen", keyboard, lambda vm: vm.state == "running")
    words = dict(line.split(" ", 1) for line in (Path(settings.STATE_DIR) / "passwords").read_text().splitlines())
    password = words["alice"].strip()
    time.sleep(5)  # its shell comes when the rest of the boot is done, and forgets what was typed before
    ours_ms = echo_ms(WebSocketBytes(Client(PORT, "alice", password), str(shell.uuid), "serial"))
    raw_ms = echo_ms(FileBytes(_pseudo_terminal(shell)))
    ours_mb = frames_mb_per_s(WebSocketBytes(Client(PORT, "alice", password), str(screen.uuid), "screen"))
    direct_mb = frames_mb_per_s(FileBytes(_domain(screen).openGraphicsFD(0, 0)))
    return {
        "console_echo_ms": _figure(ours_ms, raw_ms, "ms", f"median of {KEYS} keys echoed by a TCG guest; reference: its pseudo-terminal"),
        "console_throughput": _figure(ours_mb, direct_mb, "MB/s", f"{FRAMES} whole raw frames; reference: the VNC connection itself"),
    }  # fmt: skip


def _figure(ours: float, reference: float, unit: str, how: str) -> dict[str, object]:
    ratio = round(ours / reference, 2)
    return {"ours": round(ours, 2), "reference": round(reference, 2), "ratio": ratio, "unit": unit, "how": how}


def _guest(name: str, image: Any, is_up: Callable[[Any], bool]) -> Any:
    from portal.accounts.models import Team, User
    from portal.compute.models import VM, Flavor
    from portal.compute.requests import VMSpec, create_vm
    from portal.networks.models import Network

    alice, team = User.objects.get(username="alice"), Team.objects.get(slug="payments")
    parts = (image, Flavor.objects.get(name="nano"), Network.objects.get(name="payments-net"), secrets.token_hex(8))
    made = create_vm(team, alice, VMSpec(name, *parts)).vm
    deadline = time.monotonic() + PATIENCE_S
    while not is_up(vm := VM.objects.select_related("host").get(pk=made.pk)):
        assert time.monotonic() < deadline, f"{name} did not come up within {PATIENCE_S:.0f} s"
        time.sleep(0.1)
    return vm


def _domain(vm: Any) -> Any:
    import libvirt

    return libvirt.open(vm.host.libvirt_uri).lookupByName(vm.domain)


def _pseudo_terminal(vm: Any) -> int:
    from lxml import etree

    path = etree.fromstring(_domain(vm).XMLDesc()).find("devices/serial/source").get("path")
    return os.open(path, os.O_RDWR | os.O_NOCTTY)


if __name__ == "__main__":
    print(json.dumps(_measure()))
