"""Pictures of guests' screens, as they were ordered (portal/console/screens.py): taken, made small and kept.

What comes from a host is a guest's own doing: it is bounded in bytes and pixels, and read as the two formats that QEMU
writes and as no other.
"""

from __future__ import annotations

import io
import logging
import struct
import time
import warnings
import zlib
from uuid import UUID

from PIL import Image

from portal.compute.models import VM
from portal.console.access import not_possible
from portal.console.screens import end_turn, keep_failure, keep_picture, next_wanted
from portal.console.wire import Kind
from portal.hosts.models import Host
from tasks.hypervisor.driver import HostBusy, HostUnreachable, Hypervisor, HypervisorError
from tasks.hypervisor.registry import hypervisor_of

log = logging.getLogger("hopsight.screens")
CALL_WITHIN_S = 6.0  # unlike every other deadline: so the connection is our own, and what hangs there hangs alone
WORK_S = 20.0  # of a turn: with the last call it ends before the turn runs out
MOST_PIXELS = 3840 * 2160
MOST_BYTES = 32 * 1024**2  # 3840 × 2160 as PPM are 24 MiB
BOX = (320, 240)
FORMATS = {b"P6": "PPM", b"\x89P": "PNG"}
BAD = (OSError, ValueError, SyntaxError, OverflowError, EOFError, struct.error, zlib.error, Warning,
       Image.DecompressionBombError)  # fmt: skip


def take_screens(host_id: int) -> None:
    """One turn of a host: every picture that is wanted of it, one after the other."""
    host = Host.objects.filter(pk=host_id).first()
    end, rests = time.monotonic() + WORK_S, False
    try:
        while host and not rests and time.monotonic() < end and (uuid := next_wanted(host_id)):
            rests = not _take(hypervisor_of(host, CALL_WITHIN_S), uuid, host_id)
    finally:
        end_turn(host_id, rests)


def _take(hypervisor: Hypervisor, uuid: UUID, host_id: int) -> bool:
    """Keep the VM's picture; whether the host answered."""
    vm = VM.objects.select_related("image").filter(uuid=uuid, host_id=host_id).first()
    if vm is None or not_possible(vm, Kind.SCREEN):
        return True
    try:
        png = small_png(hypervisor.screenshot(vm.domain, MOST_BYTES))
    except HypervisorError as problem:
        log.info("no picture vm=%s problem=%s", uuid, problem)
        keep_failure(uuid)
        return not isinstance(problem, (HostBusy, HostUnreachable))
    if png is None:
        log.warning("no picture vm=%s problem=what came is none", uuid)
        keep_failure(uuid)
    else:
        keep_picture(uuid, png)
    return True


def small_png(shot: bytes) -> bytes | None:
    """The picture as a PNG that fits into BOX; None for what is no picture, or too large a one."""
    kind = FORMATS.get(shot[:2])
    if kind is None or len(shot) > MOST_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(shot), formats=(kind,)) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    return None
                small = picture.convert("RGB")
        small.thumbnail(BOX, Image.Resampling.BOX)
        kept = io.BytesIO()
        small.save(kept, "PNG")
    except BAD:
        return None
    return kept.getvalue()
