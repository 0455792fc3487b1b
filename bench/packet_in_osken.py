"""The reference of the packet-in figures: an app on os-ken's own framework, as its users write one. Run by bench.packet_ins."""

from __future__ import annotations

import sys

from os_ken import cfg
from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import dhcp, ethernet, ipv4, packet, udp
from os_ken.ofproto import ofproto_v1_4

ACK_EVERY = 1000
MODE = ""
GATEWAY, GATEWAY_MAC = "10.20.0.1", "52:54:00:ff:00:00"


class Counting(app_manager.OSKenApp):  # type: ignore[misc]
    """`count` acknowledges each thousandth packet-in, `dhcp` answers."""

    OFP_VERSIONS = [ofproto_v1_4.OFP_VERSION]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.counted = 0

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def packet_in(self, event: ofp_event.EventOFPPacketIn) -> None:
        message = event.msg
        self.counted += 1
        if MODE == "dhcp":
            asked = packet.Packet(message.data)
            question = asked.get_protocol(dhcp.dhcp)
            if question is not None:
                self._out(message, _offer(asked, question))
        elif self.counted % ACK_EVERY == 0:
            self._out(message, message.data)

    def _out(self, message: object, data: bytes) -> None:
        datapath = message.datapath  # type: ignore[attr-defined]
        parser, protocol = datapath.ofproto_parser, datapath.ofproto
        actions = [parser.OFPActionOutput(message.match["in_port"])]  # type: ignore[attr-defined]
        datapath.send_msg(
            parser.OFPPacketOut(
                datapath=datapath, buffer_id=protocol.OFP_NO_BUFFER, in_port=protocol.OFPP_CONTROLLER, actions=actions, data=data,
            )
        )  # fmt: skip


def _offer(asked: packet.Packet, question: dhcp.dhcp) -> bytes:
    options = dhcp.options(
        option_list=[
            dhcp.option(dhcp.DHCP_MESSAGE_TYPE_OPT, bytes([dhcp.DHCP_OFFER])),
            dhcp.option(54, bytes([10, 20, 0, 1])),
            dhcp.option(51, (86400).to_bytes(4)),
            dhcp.option(58, (43200).to_bytes(4)),
            dhcp.option(1, bytes([255, 255, 255, 0])),
            dhcp.option(3, bytes([10, 20, 0, 1])),
            dhcp.option(12, b"vm-1"),
            dhcp.option(26, (1450).to_bytes(2)),
        ]
    )
    answer = packet.Packet()
    answer.add_protocol(
        ethernet.ethernet(dst=asked.get_protocol(ethernet.ethernet).src, src=GATEWAY_MAC, ethertype=0x0800)
    )
    answer.add_protocol(ipv4.ipv4(dst="255.255.255.255", src=GATEWAY, proto=17))
    answer.add_protocol(udp.udp(src_port=67, dst_port=68))
    answer.add_protocol(
        dhcp.dhcp(op=2, chaddr=question.chaddr, xid=question.xid, yiaddr="10.20.0.10", siaddr=GATEWAY, options=options)
    )
    answer.serialize()
    return bytes(answer.data)


if __name__ == "__main__":
    MODE = sys.argv[2]
    cfg.CONF(args=[], project="os_ken")
    cfg.CONF.set_override("ofp_listen_host", "127.0.0.1")
    cfg.CONF.set_override("ofp_tcp_listen_port", int(sys.argv[1]))
    sys.modules["bench.packet_in_osken"] = sys.modules["__main__"]
    app_manager.AppManager.run_apps(["bench.packet_in_osken", "os_ken.controller.ofp_handler"])
