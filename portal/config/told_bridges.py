"""The forms of what is said of a Linux bridge on a packet's way and of its host's own netfilter (sdn.trace.plugged, sdn.linux.passage)."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

FORMS: frozenset[str] = frozenset(
    (
        _("Dropped on %(host)s in the Linux bridge %(bridge)s: %(why)s. This is the host's own doing, not Hopsight's."),
        _("Unknown past the Linux bridge %(bridge)s of %(host)s: %(why)s. If it does: %(reason)s"),
        _("rule %(handle)s of chain %(chain)s, table %(table)s, drops it: %(text)s (it has %(found)s)"),
        _("rule %(handle)s of chain %(chain)s, table %(table)s, rejects it: %(text)s (it has %(found)s)"),
        _("rule %(handle)s of chain %(chain)s, table %(table)s, drops it: %(text)s"),
        _("rule %(handle)s of chain %(chain)s, table %(table)s, rejects it: %(text)s"),
        _("counted none so far"),
        _("counted %(n)s packets, %(size)s B so far"),
        _("counted 1 packet, %(size)s B so far"),
        _("the policy of chain %(chain)s of table %(table)s drops it"),
        _("whether chain %(chain)s of table %(table)s lets it past can't be told: nobody can evaluate its rule here: %(text)s"),
        _("the bridge %(bridge)s is down"),
        _("%(port)s is no port of %(bridge)s any more"),
        _("port %(port)s does not forward: its link is down or it is switched off"),
        _("%(bridge)s filters VLANs, and which of them its ports are in is not read"),
        _("a %(kind)s entry of the MAC table of %(bridge)s says that %(mac)s is the host's own: the host takes the frame itself"),
        _("a %(kind)s entry of the MAC table of %(bridge)s has %(mac)s at %(port)s, where the frame comes from: a bridge sends none back"),
        _("a %(kind)s entry of the MAC table of %(bridge)s has %(mac)s at %(port)s: it is sent there, and not to %(wanted)s"),
        _("Have an operator of %(host)s change that rule: nft -a list ruleset shows it with its handle."),
        _("Have an operator of %(host)s change that rule: iptables-legacy -L --line-numbers -v shows it with its number."),
        _("Have an operator of %(host)s look at bridge fdb show br %(bridge)s, and take the entry or the setting back."),
        _("The Linux bridge %(bridge)s of %(host)s and that host's netfilter were not read (%(why)s): that it passes frames on is as it was set up, and nobody looked"),
        _("it is another machine, reached by libvirt and Open vSwitch alone"),
        _("No real packet was sent: it would begin at the switch, past %(bridge)s, which drops it."),
        _("A real packet got to %(port)s on %(host)s in %(time)s ms, and was not handed on to the Linux bridge."),
    )
)  # fmt: skip
