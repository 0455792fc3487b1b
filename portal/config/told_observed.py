"""The forms of what is said of real traffic on a trace's way (sdn.observe), which comes live."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

FORMS: frozenset[str] = frozenset(
    (
        _("The prediction and real traffic agree. %(reason)s"),
        _("The prediction, the probe and real traffic agree. %(reason)s"),
        _("The prediction says %(verdict)s, and real traffic parts from that at %(object)s on %(host)s: %(reason)s"),
        _("The prediction says %(verdict)s, and real traffic parts from that at %(object)s: %(reason)s"),
        _("The prediction and the probe say %(verdict)s, and real traffic parts from that at %(object)s on %(host)s: %(reason)s"),
        _("The prediction and the probe say %(verdict)s, and real traffic parts from that at %(object)s: %(reason)s"),
        _("Real traffic does what was predicted; the probe alone parts from it at %(object)s on %(host)s."),
        _("Real traffic does what was predicted; the probe alone parts from it at %(object)s."),
        _("The probe and real traffic agree, and both part from the prediction at %(object)s on %(host)s: %(reason)s"),
        _("The probe and real traffic agree, and both part from the prediction at %(object)s: %(reason)s"),
        _("All three differ; real traffic parts from the prediction at %(object)s on %(host)s: %(reason)s"),
        _("All three differ; real traffic parts from the prediction at %(object)s: %(reason)s"),
        _("Predicted: %(predicted)s Real traffic at %(object)s on %(host)s: %(real)s"),
        _("Predicted: %(predicted)s Real traffic: %(real)s"),
        _("No datapath entry of this way looks at all of %(ways)s: its counts may hold other packets that take the same way."),
        _("its source"),
        _("its target"),
        _("its port"),
        _("No real packet of this kind came in the last ten seconds: the source's switch has no datapath entry for one."),
        _("Real packets get to port %(port)s on %(host)s: %(many)s."),
        _("Real packets get to %(name)s on %(host)s: %(many)s."),
        _("Real packets are dropped in table %(table)s (%(name)s) of %(host)s, %(why)s: %(many)s."),
        _("Real packets are dropped in table %(table)s (%(name)s) of %(host)s: %(many)s."),
        _("Real packets are dropped on %(host)s, %(why)s: %(many)s."),
        _("Real packets are dropped on %(host)s: %(many)s."),
        _("The switch of %(host)s handles real packets of this kind itself, outside of its datapath, so their end is not in an entry: %(many)s."),
        _("The switch of %(host)s hands real packets to the controller: %(many)s."),
        _("Real packets leave %(host)s through the tunnel to %(far)s, and no datapath entry there takes them: lost on the underlay, or not yet seen."),
        _("Real packets come to %(host)s, and the entry for their next pass is gone: they have stopped."),
        _("The switch of %(host)s could not be asked: %(problem)s"),
        _("%(host)s is no host that we know."),
        _("%(pace)s, %(n)s packets so far"),
        _("%(pace)s, %(n)s packets, %(total)s datapath entries"),
        _("%(pace)s, %(n)s packets, %(total)s datapath entry"),
        _("%(detail)s; outer packets: %(pace)s"),
        _("ofproto/detrace of the entries, and ofproto/trace of their keys"),
        _("ofproto/trace of the entries' keys: this Open vSwitch has no ofproto/detrace (it came with 3.4)"),
    )
)  # fmt: skip
