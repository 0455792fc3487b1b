"""The forms of English sentences that are kept or made where no page is, and that are shown beside them: alerts, checks, diagnoses."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

FORMS = frozenset(
    (
        # what is wrong, as portal/dashboards/problems.py says it and alerts keep it
        _("Host %(host)s is not well"),
        _("its libvirt was not heard of for 30 s"),
        _("%(check)s %(service)s is %(verdict)s, not %(expected)s"),
        _("VM %(name)s crashed"),
        _("VM %(name)s is not known of any more"),
        _("%(title)s %(name)s failed"),
        _("Packets of %(port)s are being dropped"),
        _("%(why)s: %(count)s so far"),
        _("%(port)s and IPAM differ about %(line)s"),
        _("%(share)s of the %(what)s is used"),
        _("The quota is nearly used up: %(share)s"),
        _("%(used)s of %(most)s"),
        _("memory"),
        _("number of VMs"),
        # thresholds, as portal/alerts/rules.py says them
        _("%(of)s: %(metric)s is %(value)s, above %(limit)s"),
        _("%(metric)s is %(value)s, above %(limit)s"),
        _("%(metric)s above %(limit)s for %(n)s min"),
        _("the mean of the last %(n)s min"),
        _("CPU of a VM"),
        _("memory that a VM holds"),
        _("what a VM sends"),
        _("what a VM receives"),
        _("what all VMs send"),
        _("what all VMs receive"),
        _("packets dropped, of all ports"),
        _("packets lost at ports"),
        # messages to channels
        _("%(who)s tests the channel %(channel)s of %(team)s"),
        _("%(n)s messages in a row did not arrive; the last: %(problem)s"),
        _("it broke on our side: %(one)s"),
        _("the mail server did not take it: %(problem)s"),
        _("taken by the mail server"),
        # verdicts, as rows keep them
        _("delivered"),
        _("dropped"),
        _("flooded"),
        _("to_controller"),
        _("unknown"),
    )
)
