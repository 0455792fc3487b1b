"""The forms of what is said of NICs that no port of Open vSwitch stands for (sdn.model.bypass), and of traces that end there."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

FORMS: frozenset[str] = frozenset(
    (
        _("SR-IOV virtual function %(parent)s"),
        _("an SR-IOV virtual function out of libvirt's pool %(parent)s"),
        _("PCI device %(parent)s, passed through whole"),
        _("macvtap in mode %(mode)s on %(parent)s"),
        _("vhost-user socket %(parent)s"),
        _("vDPA device %(parent)s"),
        _("libvirt's network %(parent)s"),
        _("bridge %(parent)s of the kernel"),
        _("tap %(parent)s outside of Open vSwitch"),
        _("QEMU's own user-mode network"),
        _("the guest drives the card itself, and its frames leave by the card's own switch: no flow, rule or counter of Open vSwitch meets them, and nothing here can predict where they go"),
        _("the guest drives the whole card, and its frames leave by the card's own wire: no flow, rule or counter of Open vSwitch meets them, and nothing here can predict where they go"),
        _("every frame leaves the host by %(parent)s, even one for a neighbour on it, which arrives only if the switch outside sends it back: Open vSwitch is not on the way, and nothing here can predict what becomes of them outside"),
        _("the kernel hands frames straight to other macvtaps in mode bridge on %(parent)s, and all others leave the host by it: Open vSwitch is not on the way, and nothing here can predict what becomes of them outside"),
        _("every frame leaves the host by %(parent)s, and what a neighbour on it asks by broadcast (ARP, neighbour discovery) never arrives, even where the switch outside sends it back: Open vSwitch is not on the way, and nothing here can predict what becomes of them outside"),
        _("%(parent)s is this guest's alone and every frame leaves the host by it: Open vSwitch is not on the way, and nothing here can predict what becomes of them outside"),
        _("the process at the socket's other end moves its frames, and no port of Open vSwitch that is known here has this socket: nothing here can predict where they go"),
        _("the card serves the guest's rings in hardware: no flow, rule or counter of Open vSwitch meets them, and nothing here can predict where they go"),
        _("libvirt's own bridge carries its frames: Open vSwitch is not on the way, and nothing here can predict what becomes of them outside"),
        _("the kernel's bridge carries its frames: Open vSwitch is not on the way, and nothing here can predict what becomes of them outside"),
        _("somebody else moves the tap's frames: Open vSwitch is not on the way, and nothing here can predict what becomes of them outside"),
        _("QEMU itself answers the guest and opens its connections as a process of the host: Open vSwitch is not on the way, and nothing here can predict what becomes of them outside"),
        _("Open vSwitch is not on the way, and nothing here can predict what becomes of them outside"),
        _("The way ends at %(vm)s's NIC, %(label)s: %(truth)s."),
        _("%(guest)s's NIC is %(label)s, which no port of Open vSwitch leads to: %(truth)s."),
        _("%(label)s, VLAN %(vlan)s"),
        _("not told"),
        _("its parent device"),
        _("Give the address that %(vm)s has as the target: the packet is then followed to where it leaves Open vSwitch."),
        _("NIC, passthrough"),
        _("NIC, its own driver"),
        _("NIC, %(model)s"),
        _("its MAC is not told"),
        _("no port of Open vSwitch"),
    )
)  # fmt: skip
