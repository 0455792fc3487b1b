"""A running guest at whose shell a test types: what it does to a disk is what a team's guest does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace

import libvirt
import pytest
from django.utils import timezone

from lab.images import TinyImage
from lab.paths import HypervisorPaths
from portal.compute.models import VM, Image, VMState
from portal.hosts.models import Host
from portal.operations.models import Operation, OperationState
from tasks.hypervisor.driver import Hypervisor
from tests.tasks.test_sagas import run
from tests.waiting import wait_for

SAYS_S = 60.0
Typing = tuple[VM, Callable[[str], None]]


def ended(world: SimpleNamespace, operation: Operation) -> None:
    """The operation has ended well."""
    done = run(world, operation)
    assert done.state == OperationState.DONE, done.error


def find_disk(typing: Typing, serial: str) -> None:
    """From now on `$D` is the guest's device of that serial, once it has found it."""
    found = f"S=$(grep -l {serial} /sys/block/vd*/serial 2>/dev/null)"
    typing[1](f"until {found}; do sleep 0.1; done; D=/dev/$(basename $(dirname $S))")


@pytest.fixture
def guest(
    hypervisor: Hypervisor, lab: tuple[HypervisorPaths, ...], world: SimpleNamespace, tiny: TinyImage
) -> Iterator[Typing]:
    """A guest that runs, without a NIC, and what types a line at its shell and waits until the guest says that it is done."""
    Image.objects.update(
        boot=Image.Boot.KERNEL, disk_path=str(tiny.disk), kernel_path=str(tiny.kernel),
        initrd_path=str(tiny.initrd), cmdline=tiny.cmdline,
    )  # fmt: skip
    Host.objects.update(libvirt_seen_at=timezone.now())  # what else the test has may have taken its time
    vm = world.make_vm("disks-1")
    vm.ports.all().delete()
    ended(world, world.ask("vm.create", vm))
    connection = libvirt.open(lab[0].libvirt_uri)
    stream, heard = connection.newStream(libvirt.VIR_STREAM_NONBLOCK), bytearray()
    connection.lookupByName(vm.domain).openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)

    def says(word: bytes) -> bool:
        while isinstance(piece := stream.recv(4096), bytes) and piece:
            heard.extend(piece)
        return word in heard

    def type_line(line: str) -> None:
        heard.clear()
        stream.send(f"{line} && echo do''ne\n".encode())
        wait_for(lambda: says(b"\ndone"), SAYS_S, f"the guest did {line}", 0.1)

    try:
        stream.send(b"\n")
        wait_for(lambda: says(b"# "), SAYS_S, "the guest's shell asks", 0.1)
        VM.objects.filter(pk=vm.pk).update(state=VMState.RUNNING)
        yield VM.objects.get(pk=vm.pk), type_line
    finally:
        with suppress(libvirt.libvirtError):
            stream.abort()
        connection.close()
        ended(world, world.ask("vm.delete", vm))
