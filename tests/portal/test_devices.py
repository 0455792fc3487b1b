"""Devices of VMs: each told as what it is, VMs on emulated ones reported to their team and to operators, virtio by one click."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.compute.devices import devices_made_of
from portal.compute.models import VM, Image
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_snapshot, made_vm, made_volume


@pytest.fixture
def slow(cast: Cast) -> VM:
    """A VM that is off, with a SATA disk, a SATA volume and an emulated NIC."""
    vm = made_vm(cast)
    Operation.objects.update(state="done")
    VM.objects.filter(pk=vm.pk).update(disk_bus="sata", state="stopped", host=made_host())
    vm.ports.update(model="e1000e")
    volume = made_volume(cast)
    volume.vm, volume.bus, volume.target, volume.state = vm, "sata", "sdd", "attached"
    volume.save()
    vm.refresh_from_db()
    return vm


def asked(cast: Cast, vm: VM, by: str = "alice", **devices: str) -> Any:
    client = client_of(getattr(cast, by))
    return client.post(f"/api/v1/vms/{vm.uuid}/devices", devices, content_type="application/json")


def test_every_device_is_told_as_what_it_is(cast: Cast, slow: VM) -> None:
    kinds = {one.name: (one.model, one.kind) for one in devices_made_of(slow)}
    assert kinds["Disk"] == ("sata", "emulated") and kinds["Volume data"] == ("sata", "emulated")
    assert kinds["NIC web-1"] == ("e1000e", "emulated") and kinds["Random source"] == ("virtio-rng", "paravirtual")
    assert kinds["Processor"][1] == "emulated"
    assert slow.host is not None
    slow.host.accelerator = "kvm"
    assert devices_made_of(slow)[0].kind == "passthrough"
    page = client_of(cast.alice).get(reverse("vm", args=[slow.uuid])).content.decode()
    assert "Switch to virtio" in page and "Volume data" in page


def test_the_report_is_the_teams_own_and_operators_see_every_teams(cast: Cast, slow: VM) -> None:
    made_vm(cast, "fast-1")
    Operation.objects.update(state="done")  # or the status line names it
    (told,) = client_of(cast.bob).get("/api/v1/emulated-devices").json()
    assert told["name"] == "web-1" and [one["name"] for one in told["devices"]] == ["Disk", "Volume data", "NIC web-1"]
    assert client_of(cast.dana).get("/api/v1/emulated-devices").json() == []
    assert client_of(cast.bob).get("/api/v1/emulated-devices/all").status_code == 403
    (same,) = client_of(cast.olga).get("/api/v1/emulated-devices/all").json()
    assert same["team"] == "payments"
    mine = client_of(cast.bob).get(reverse("vm_devices")).content.decode()
    assert "web-1" in mine and "fast-1" not in mine and "Switch to virtio" in mine
    everybodys = client_of(cast.olga).get(reverse("emulated_devices")).content.decode()
    assert "web-1" in everybodys and "Payments" in everybodys and "Switch to virtio" not in everybodys


def test_the_report_is_a_csv_with_a_line_per_device(cast: Cast, slow: VM) -> None:
    for by, url in (("bob", "vm_devices"), ("olga", "emulated_devices")):
        answer = client_of(getattr(cast, by)).get(reverse(url), {"format": "csv"})
        assert answer["Content-Type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
        assert [(row["team"], row["vm"], row["device"], row["model"]) for row in rows] == [
            ("payments", "web-1", "Disk", "sata"),
            ("payments", "web-1", "Volume data", "sata"),
            ("payments", "web-1", "NIC web-1", "e1000e"),
        ]


def test_one_click_asks_for_virtio_and_a_running_vm_is_told_to_restart(cast: Cast, slow: VM) -> None:
    VM.objects.update(state="running")
    click = {"what": "devices", "disk_bus": "virtio", "nic_model": "virtio"}
    answer = client_of(cast.bob).post(reverse("vm_change", args=[slow.uuid]), click)
    operation = Operation.objects.get(kind="vm.devices")
    assert answer.headers["Location"] == reverse("operation", args=[operation.uuid])
    assert AuditRow.objects.get(action="vm.devices").actor == "bob"
    slow.refresh_from_db()
    assert (slow.disk_bus, slow.next_disk_bus, slow.next_nic_model) == ("sata", "virtio", "virtio")
    assert (
        "Shut it down and start it" in slow.pending and "its disk is on virtio and its NICs are virtio" in slow.pending
    )
    page = client_of(cast.bob).get(reverse("vm", args=[slow.uuid])).content.decode()
    assert "a restart from inside is not enough" in page
    assert client_of(cast.charlie).post(reverse("vm_change", args=[slow.uuid]), click).status_code == 403


def test_an_image_whose_drivers_nobody_knows_is_warned_of_and_not_refused(cast: Cast, slow: VM) -> None:
    assert asked(cast, slow, disk_bus="virtio").json()["warning"] == ""
    Operation.objects.update(state="done")
    Image.objects.filter(pk=slow.image_id).update(os_family="windows", name="Windows")
    told = asked(cast, slow, disk_bus="virtio")
    assert told.status_code == 202 and "whether the guest of Windows has virtio drivers" in told.json()["warning"]
    Operation.objects.update(state="done")
    assert asked(cast, slow, disk_bus="sata").json()["warning"] == ""
    assert "does not boot" in client_of(cast.alice).get(reverse("vm_devices")).content.decode()


def test_what_cannot_be_is_refused_all_at_once(cast: Cast, slow: VM) -> None:
    wrong = asked(cast, slow, disk_bus="ide", nic_model="ne2k_pci").json()["errors"]
    assert "“ide” was given; virtio, scsi, sata" in wrong["disk_bus"][0] and "ne2k_pci" in wrong["nic_model"][0]
    assert "nothing was given" in asked(cast, slow).json()["errors"]["disk_bus"][0]
    VM.objects.update(machine="pc")
    assert "machine pc has none" in asked(cast, slow, nic_model="e1000e").json()["errors"]["nic_model"][0]
    made_snapshot(slow)
    slow.snapshots.update(has_memory=True)
    assert "snapshots of its memory" in asked(cast, slow, disk_bus="virtio").json()["errors"]["vm"][0]
    assert asked(cast, slow, by="dana", disk_bus="virtio").status_code == 404
