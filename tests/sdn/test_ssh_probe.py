"""When does a guest's SSH first answer? Asked with a bare SYN in its gateway's name, soon and yet not too often."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdn.controller.controller import PATIENT_AFTER_S, PROBES_PER_S, pause_between_probes
from sdn.controller.probe import RST, is_ssh_answer, syn_frame
from tests.sdn.dual_world import DUAL, DUAL_PORTS, GATEWAY6, WEB_1_IP6
from tests.sdn.wire import checksum6_is_right

WEB_1 = DUAL_PORTS[0]


@given(st.integers(1, 5_000), st.floats(0, 600))
def test_all_guests_together_are_asked_so_often_and_a_few_young_ones_ten_times_a_second(
    guests: int, waited_s: float
) -> None:
    pause_s = pause_between_probes(guests, waited_s)
    assert guests / pause_s <= PROBES_PER_S * 1.0001
    assert (pause_s == 0.1) == (guests <= 8 and waited_s < PATIENT_AFTER_S)


def test_a_port_with_ipv6_alone_is_asked_for_its_ssh_over_ipv6() -> None:
    port = replace(WEB_1, addresses=(ip_address(WEB_1_IP6),))
    assert syn_frame(port, DUAL, 5) is None
    frame = syn_frame(port, DUAL, 5, six=True)
    assert frame is not None and checksum6_is_right(frame)
    assert (frame[22:38], frame[38:54]) == (ip_address(GATEWAY6).packed, ip_address(WEB_1_IP6).packed)
    back = bytearray(frame[:22] + frame[38:54] + frame[22:38] + frame[56:58] + frame[54:56] + frame[58:])
    back[62:66], back[67] = (6).to_bytes(4), 0x12
    said = is_ssh_answer(bytes(back))
    assert said is not None and (said.address, said.acknowledged) == (ip_address(WEB_1_IP6), 6)


@pytest.mark.parametrize("flags", [0, RST])
def test_the_ssh_probe_of_a_dual_port_goes_over_ipv4(flags: int) -> None:
    frame = syn_frame(WEB_1, DUAL, 1, flags)
    assert frame is not None and IPv4Address(frame[30:34]) == WEB_1.addresses[0]
