"""A NIC's device chain: the live XML of libvirt and the switch's own reading of a tap, nothing guessed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portal.compute.presentation import devices_of
from portal.networks.models import Port
from sdn.model.device import DeviceChain, chain_from_json, chain_to_json
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from tasks.hypervisor.libvirt_driver import parse_interfaces
from tasks.hypervisor.tap import parse_taps, read_taps
from tasks.sagas.vm_create import chain_of, record_interfaces

XML = """<domain type="{kind}"><devices><interface type="{plug}"><mac address="52:54:00:00:00:01"/>
<source bridge="br-int"/><virtualport type="openvswitch"><parameters interfaceid="iface-1"/></virtualport>
<target dev="vnet3"/><model type="{model}"/>{driver}</interface></devices></domain>"""
OFF = '<driver name="qemu" queues="4" rx_queue_size="512"><host csum="off" gso="on"/><guest tso4="off"/></driver>'


def chain(kind: str = "kvm", plug: str = "bridge", model: str = "virtio", driver: str = "") -> DeviceChain:
    return chain_of(parse_interfaces(XML.format(kind=kind, plug=plug, model=model, driver=driver))[0])


def test_the_back_end_is_what_the_live_xml_says() -> None:
    assert chain().backend == "vhost-net"
    assert chain(kind="qemu").backend == "qemu", "without KVM libvirt uses vhost only when asked to"
    assert chain(driver='<driver name="qemu"/>').backend == "qemu"
    assert chain(kind="qemu", driver='<driver name="vhost"/>').backend == "vhost-net"
    assert chain(model="e1000").backend == "qemu", "an emulated device has no vhost"
    assert chain(plug="vhostuser").backend == "vhost-user"


def test_queues_ring_and_offloads_are_read() -> None:
    read = chain(driver=OFF)
    assert (read.queues, read.ring_size, read.offloads, read.bridge) == (4, 512, "csum, tso4", "br-int")
    assert (chain().queues, chain().ring_size) == (1, 0)


def test_a_switch_tells_what_it_reads_of_its_interfaces() -> None:
    with Shadow() as shadow:
        shadow.load([ShadowBridge("br-int", (ShadowPort("vnet3", 7),))])
        ovsdb = f"unix:{shadow.rundir}/db.sock"
        facts = read_taps(ovsdb, ("vnet3", "gone"))
        assert set(facts) == {"vnet3"}
        assert (facts["vnet3"].link, facts["vnet3"].mtu) == ("up", 1500)
        assert facts["vnet3"].mac.count(":") == 5
    assert read_taps(ovsdb, ("vnet3",)) == {}, "a switch that is away tells nothing, and nobody waits"


@given(st.one_of(st.text(max_size=60), st.builds(lambda text: f'{{"headings":["name"],"data":[["{text}"]]}}', st.text(max_size=9))))  # fmt: skip
def test_any_answer_is_read_without_an_exception(text: str) -> None:
    assert isinstance(parse_taps(text), dict)


@given(st.dictionaries(st.text(max_size=12), st.one_of(st.text(), st.integers(), st.none())))
def test_a_stored_chain_of_another_version_is_read_without_an_exception(value: dict[str, object]) -> None:
    chain_from_json({**value, "model": "virtio", "newer": 1})


def test_a_stored_chain_reads_back_as_it_was() -> None:
    one = chain(driver=OFF)
    assert chain_from_json(chain_to_json(one)) == one


def test_the_vms_page_shows_what_was_recorded_at_start(world) -> None:  # type: ignore[no-untyped-def]
    vm = world.make_vm()
    port = Port.objects.get(vm=vm)
    before = [device.title for device in devices_of(vm, port)]
    assert "queues, not read yet" in before
    xml = XML.format(kind="qemu", plug="bridge", model="virtio", driver=OFF).replace("iface-1", str(port.uuid))
    record_interfaces(vm, parse_interfaces(xml))
    port.refresh_from_db()
    shown = {device.title: device.lines for device in devices_of(vm, port)}
    assert shown["4 virtqueue pairs"] == ("rx ring 512", "off: csum, tso4")
    assert shown["qemu back end"] == ("QEMU's own process moves each frame",)
