"""Making a VM: a host, a disk, a seed, a domain, a running guest, a wired port. Undone, nothing of it is left."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from portal.compute.models import VM, Image, VMState
from portal.console.access import has_screen
from portal.hosts.models import Accelerator, Host
from portal.live.publishers import vm_changed
from portal.networks.intent import bump_generation, lock_intent, only_ports
from portal.networks.models import Port
from portal.volumes.models import Volume
from sdn.model.device import DeviceChain, chain_from_json, chain_past, chain_to_json
from sdn.model.plug import veth_names
from tasks.hypervisor.disks import VMFiles, ensure_overlay, remove_file, write_file
from tasks.hypervisor.domain_xml import DiskSpec, DomainSpec, KernelBoot, NicSpec, format_domain
from tasks.hypervisor.driver import Hypervisor, LiveInterface
from tasks.hypervisor.seed import SeedSpec, make_seed
from tasks.hypervisor.tap import read_taps
from tasks.images.copies import Base, ensure_copy
from tasks.sagas.engine import Context, Saga, Stage, StageError, stop_if_cancelled
from tasks.sagas.placement import choose_host, told_placement, wish_of
from tasks.sagas.plugs import remove_bridges, settle_plugs
from tasks.sagas.rows import placed, placed_or_none, release, update_vm, vm_of
from tasks.sagas.vm_volumes import forget_volumes, give_pools, lacking_for, make_volumes, unmake_volumes

WIRE_DEADLINE_S = 45.0  # on a machine where fifty guests boot at once the switches get their turn late
HOTPLUG_VCPUS = 16  # room for so many, or what the host has
FAST_POLL_S, SLOW_POLL_S, FAST_FOR_S = 0.01, 0.05, 1.0


def place(context: Context) -> str:
    with transaction.atomic():
        lock_intent()
        vm = vm_of(context)
        if vm.host is not None:
            return vm.host.name
        choice = choose_host(replace(wish_of(vm), lacking=lacking_for(vm)))
        vm.host = choice.host
        vm.save(update_fields=["host"])
        give_pools(vm, choice.host)
        vm.ports.update(host=choice.host, tap="", ofport=None, wired_at=None, wired_generation=None)
        bump_generation(only_ports(vm.ports.values_list("id", flat=True)))
        vm_changed(vm)
    context.told["placement"] = told_placement(choice)
    return choice.words


def unplace(context: Context) -> None:
    forget_volumes(context)
    release(context.operation.object_uuid)


def make_disk(context: Context) -> str:
    vm, _, files = placed(context)
    base = base_on(context, vm.image, vm.host)
    ensure_overlay(files.disk, base.path, vm.image.disk_format, vm.disk_gib)
    words = f"{vm.disk_gib} GiB over " + (base.words or vm.image.name)
    return f"{words}; {volumes}" if (volumes := make_volumes(context)) else words


def base_on(context: Context, image: Image, host: Host | None, like: str = "") -> Base:
    """What a disk of the image lies on, on that host; pulled there if need be, until somebody cancels."""
    assert host is not None

    def tell(words: str) -> None:
        stop_if_cancelled(context)
        context.tell(words)

    return ensure_copy(image, host, tell, like)


def unmake_disk(context: Context) -> None:
    unmake_volumes(context)
    if found := placed_or_none(context):
        remove_file(found[2].disk)


def write_seed(context: Context) -> None:
    vm, _, files = placed(context)
    write_seed_to(vm, files.seed)


def write_seed_to(vm: VM, path: Path) -> None:
    """The VM's seed image as that file."""
    spec = SeedSpec(str(vm.uuid), vm.name, vm.image.login_user, vm.public_key, vm.user_data)
    write_file(path, make_seed(spec))


def unwrite_seed(context: Context) -> None:
    if found := placed_or_none(context):
        remove_file(found[2].seed)


def define(context: Context) -> str:
    vm, hypervisor, files = placed(context)
    assert vm.host is not None
    if vm.adopted:
        return "as it is: somebody else defined it"
    settle_plugs(vm, hypervisor)
    hypervisor.define(format_domain(domain_spec(vm, vm.host, files)))
    return vm.domain


def undefine(context: Context) -> None:
    if found := placed_or_none(context):
        vm, hypervisor, files = found
        hypervisor.destroy(vm.domain)
        hypervisor.undefine(vm.domain)
        remove_bridges(vm.ports.all(), hypervisor)
        remove_file(files.console_log)


def start(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    hypervisor.start(vm.domain)
    # the boot whose time to SSH is kept: later ones leave it as it is
    started_at = vm.started_at if vm.ssh_at else timezone.now()
    interfaces = hypervisor.live_interfaces(vm.domain)
    with transaction.atomic():
        record_interfaces(vm, interfaces)
        update_vm(vm, started_at=started_at, live_vcpus=vm.vcpus, live_ram_mib=vm.ram_mib)
    plugged = [interface.tap or interface.mac for interface in interfaces if interface.bypass is None]
    return "tap " + ", ".join(plugged) if plugged else "no NIC"


def stop(context: Context) -> None:
    if found := placed_or_none(context):
        vm, hypervisor, _ = found
        hypervisor.destroy(vm.domain)


def wire(context: Context) -> str:
    words = await_wired(context)
    vm, hypervisor, _ = placed(context)
    update_vm(vm, state=VMState.RUNNING, state_reason="", observed_at=timezone.now())
    record_taps(vm, hypervisor)
    return words


def await_wired(context: Context) -> str:
    """Until every port of the VM has its flows; in words how long that took."""
    vm, _, _ = placed(context)
    begin = time.monotonic()
    while unwired := [port.name for port in vm.ports.filter(wired_at__isnull=True) if not _is_past(port)]:
        stop_if_cancelled(context)
        now = time.monotonic()
        if now > context.deadline:
            raise StageError(
                f"the flows of port {', '.join(unwired)} were not installed on {vm.host} within {now - begin:.0f} s: "
                "is the controller running, and does it see this host's switch?"
            )
        time.sleep(FAST_POLL_S if now - begin < FAST_FOR_S else SLOW_POLL_S)
    return f"after {(time.monotonic() - begin) * 1000:.0f} ms"


def _is_past(port: Port) -> bool:
    """Is its NIC past the switch? Then no flow of it ever comes."""
    return chain_from_json(port.device_chain).bypass is not None


def record_interfaces(vm: VM, interfaces: tuple[LiveInterface, ...]) -> None:
    """Keep what libvirt plugged: a NIC is known by its interface id (a tap's MAC is not the guest's).

    One that an adopted domain's definition has since put past Open vSwitch has none, and is known by its guest's MAC.
    """
    by_id = {interface.interface_id: interface for interface in interfaces if interface.interface_id}
    past = {interface.mac: interface for interface in interfaces if interface.bypass is not None}
    for port in Port.objects.filter(vm=vm):
        interface = by_id.get(str(port.uuid)) or past.get(port.mac)
        if interface is None:
            raise StageError(f"port {port.name} was not plugged: the running domain has no such NIC")
        Port.objects.filter(pk=port.pk).update(
            tap="" if interface.bypass else interface.switch_port[:15], nic_model=interface.model, backend=interface.backend,
            device_chain=chain_to_json(chain_of(interface)),
        )  # fmt: skip


def chain_of(interface: LiveInterface) -> DeviceChain:
    """What the live XML says of a NIC; the tap's own facts come when the switch has it."""
    if interface.bypass is not None:
        return chain_past(interface.bypass, interface.model, _now())
    return DeviceChain(
        model=interface.model,
        backend=interface.backend,
        queues=interface.queues,
        ring_size=interface.ring_size,
        bridge=interface.bridge,
        tap=interface.tap,
        tap_link=interface.link,
        offloads=", ".join(interface.offloads_off),
        veth=veth_names(interface.interface_id)[0] if interface.is_bridged else "",
        seen_at=_now(),
    )


def _now() -> str:
    return timezone.now().isoformat()


def record_taps(vm: VM, hypervisor: Hypervisor) -> None:
    """Add to each port's device chain what the switch reads of its tap now. What it does not know stays empty.

    Of a tap in a Linux bridge the switch knows nothing: there libvirt tells what is in the bridge."""
    ports = list(vm.ports.exclude(tap=""))
    facts = read_taps(vm.host.ovsdb, tuple(port.tap for port in ports)) if vm.host else {}
    for port in ports:
        seen, chain = facts.get(port.tap), chain_from_json(port.device_chain)
        if chain.veth:
            # libvirt leaves out taps that it named itself; which bridge this one is in, the live XML says
            inside = {chain.tap, *hypervisor.bridge_ports(str(port.uuid))}
            chain = replace(chain, bridge_ports=", ".join(sorted(inside)), seen_at=_now())
            Port.objects.filter(pk=port.pk).update(device_chain=chain_to_json(chain))
        elif seen is not None:
            chain = replace(
                chain, tap=port.tap, tap_link=seen.link, tap_mtu=seen.mtu, tap_mac=seen.mac,
                tap_dropped=seen.dropped, tap_driver=seen.driver, seen_at=_now(),
            )  # fmt: skip
            Port.objects.filter(pk=port.pk).update(device_chain=chain_to_json(chain))


def nic_spec(port: Port, host: Host) -> NicSpec:
    """The NIC of a port on a host."""
    offloads = host.datapath_type != "netdev"
    return NicSpec(
        str(port.uuid), port.mac, port.network.mtu, has_offloads=offloads, model=port.model, is_bridged=port.is_bridged
    )


def disk_spec(volume: Volume) -> DiskSpec:
    """The disk of a volume that has been made."""
    assert volume.pool is not None
    can = volume.pool.can
    return DiskSpec(volume.path, volume.target, volume.bus, volume.serial, can.disk_format, can.source, volume.pool.way)


def domain_spec(vm: VM, host: Host, files: VMFiles) -> DomainSpec:
    """The domain of a VM on a host."""
    ports = vm.ports.select_related("network").order_by("id")
    nics = tuple(nic_spec(port, host) for port in ports)
    made = vm.volumes.select_related("pool").exclude(path="").order_by("target")
    volumes = tuple(disk_spec(volume) for volume in made)
    boot, image = None, vm.rescue_image or vm.image
    if image.boot == Image.Boot.KERNEL:
        boot = KernelBoot(image.kernel_path, image.initrd_path, image.cmdline)
    return DomainSpec(
        name=vm.domain,
        uuid=str(vm.uuid),
        title=vm.name,
        team=vm.team.slug,
        vcpus=vm.vcpus,
        ram_mib=vm.ram_mib,
        accelerator=host.accelerator or Accelerator.TCG,
        disk=str(files.disk),
        seed=str(files.seed),
        console_log=str(files.console_log),
        nics=nics,
        volumes=volumes,
        boot=boot,
        has_screen=has_screen(vm),
        vcpus_max=max(vm.vcpus, min(host.vcpus, HOTPLUG_VCPUS)),
        rescue_disk=str(files.rescue) if vm.rescue_image else "",
        cpu_model=vm.cpu_model,
        machine=vm.machine,
        disk_bus=vm.disk_bus,
        disk_cache=vm.disk_cache,
        domain_type="test" if host.libvirt_uri.startswith("test:") else "",
    )


SAGA: Saga = (
    Stage("place", place, unplace),
    Stage("disk", make_disk, unmake_disk),
    Stage("seed", write_seed, unwrite_seed),
    Stage("define", define, undefine),
    Stage("start", start, stop),
    Stage("wire", wire, deadline_s=WIRE_DEADLINE_S),
)
