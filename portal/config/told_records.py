"""The forms of what the histories of switches and flow tables say, of the devices on a packet's way, and of consoles that do not open."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

FORMS: frozenset[str] = frozenset(
    (
        # why a switch or a flow table changed (tasks.topology_causes, tasks.flow_history)
        _("not by Hopsight"),
        _("not by Hopsight: the switch tells it"),
        _("not by Hopsight: the host’s lldpd tells it"),
        _("not by Hopsight: nothing was asked of VM %(vm)s then"),
        _("the switch and Hopsight’s controller found or lost each other"),
        _("Hopsight’s own seat %(name)s in %(network)s"),
        _("Hopsight’s controller keeps it"),
        _("nobody recorded: the controller was not running, or not connected"),
        _("the host’s OVSDB was not reached, or its switch did not run or had not yet told it anything"),
        _("%(far)s: %(title)s %(name)s"),
        _("for VM %(vm)s"),
        _("for domain %(name)s"),
        _("%(far)s %(act)s %(name)s"),
        # what a flow is there for (portal.networks.causes)
        _("Router %(router)s, outside by %(host)s"),
        _("untagged on br-ex"),
        _("VLAN %(vlan)s on br-ex"),
        _("Network %(network)s, untagged on br-ex"),
        _("Network %(network)s, VLAN %(vlan)s on br-ex"),
        _("A mirror that is no longer there (id %(n)s)"),
        _("A port that is no longer there (id %(n)s)"),
        _("A network that is no longer there (id %(n)s)"),
        _("A router that is no longer there (id %(n)s)"),
        _("A security_rule that is no longer there (id %(n)s)"),
        _("A security_group that is no longer there (id %(n)s)"),
        _("A floating_address that is no longer there (id %(n)s)"),
        _("A external_network that is no longer there (id %(n)s)"),
        _("and %(n)s more"),
        _("no switch answers at %(path)s"),
        # what becomes of a flow that was tried (tasks.flow_what_ifs)
        _("%(bridge)s is not Hopsight’s: it stays as it is unless you apply this here, or by hand on %(host)s."),
        _("Hopsight leaves foreign flows as they are, and makes none: by hand on %(host)s."),
        _("This flow is Hopsight’s: its controller would put it back at its next look at %(host)s, so there is nothing to apply. Change what it is for instead."),
        _("The cookie has Hopsight’s mark, and nothing explains the flow: the controller would take it away at its next look."),
        # devices on a packet's way (sdn.trace.hops, sdn.trace.plugged)
        _("%(far)s, %(used)s of %(total)s B"),
        _("%(net)s to %(far)s"),
        _("VNI %(n)s, +%(total)s B, to %(far)s"),
        _("VNI %(n)s, −%(total)s B, port %(port)s"),
        _("VNI %(n)s, as what another host has routed, port %(port)s"),
        _("of %(network)s, untagged"),
        _("port %(n)s"),
        _("no port given"),
        _("cable from %(far)s, port %(port)s of br-int"),
        _("ports: %(ports)s; %(fdb)s; %(netfilter)s"),
        _("fdb: not asked"),
        _("fdb: to %(taps)s (%(how)s)"),
        _("fdb: to the host itself (%(how)s)"),
        _("fdb: drop (%(how)s)"),
        _("no entry is kept (ageing 0): it goes to every other port"),
        _("no entry (what is learned is kept %(n)s s): it goes to every other port"),
        _("a learned entry"),
        _("a static entry"),
        _("a permanent entry"),
        _("netfilter was not read"),
        _("no netfilter chain sees it"),
        _("netfilter: accepted by %(n)s chains"),
        _("netfilter: accepted by %(n)s chain"),
        # where a capture looks (portal.captures.points)
        _("%(far)s %(one)s on %(two)s"),
        _("tunnel of %(far)s"),
        _("cable to the outside of %(host)s"),
        _("any protocol between the two ends"),
        _("%(one)s between the two ends"),
        # why a console does not open (portal.console.access)
        _("%(vm)s has no screen: its kernel is given by the host and speaks on the serial line."),
        _("%(vm)s is off: its console opens when it starts."),
        _("%(vm)s has crashed: its console opens when it starts."),
        _("%(vm)s is being deleted."),
        _("%(vm)s is deleted: take it back first."),
        _("A screen is given to VMs that boot from their disk."),
        _("to controller"),  # a verdict
    )
)  # fmt: skip
# Words of machines that pages show by themselves: what libvirt calls a domain's state, Open vSwitch a link's and a port's kind.
WORDS: tuple[str, ...] = (
    _("up"), _("down"), _("patch"), _("tunnel"), _("internal"), _("bond"), _("connected"), _("away"), _("paused"),
    _("crashed"), _("link"), _("kind"), _("speed"), _("fail mode"), _("bond mode"), _("remote"), _("local"), _("members"),
    _("controller"), _("datapath"), _("version"), _("error"), _("none"), _("done"), _("password"),
    _("the store"),
)  # fmt: skip
