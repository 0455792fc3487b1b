"""The forms of what is said of network namespaces that a packet goes into (sdn.trace.into) and that were read on a host."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

FORMS: frozenset[str] = frozenset(
    (
        _("It leaves %(host)s by %(port)s of %(bridge)s into %(label)s."),
        _("It leaves %(host)s by %(port)s of %(bridge)s into %(label)s instead of to %(target)s."),
        _("The address %(net)s is none of that interface's: whether it is passed on from there is the namespace's to say."),
        _("Dropped at the end of %(port)s of %(bridge)s on %(host)s: %(label)s, is down."),
        _("Have an operator of %(host)s look at ip netns exec %(command)s."),
        _("Have an operator of %(host)s look at nsenter -t %(command)s."),
        _("namespace %(space)s, interface %(interface)s %(net)s"),
        _("namespace %(space)s, interface %(interface)s without an address"),
        _("port %(n)s of %(bridge)s, cable into namespace %(space)s"),
        _("port %(n)s of %(bridge)s, moved into namespace %(space)s"),
        _("not by Hopsight: the host’s kernel tells it"),
        _("its switch runs outside of the container that Hopsight's worker is in"),
    )
)  # fmt: skip
