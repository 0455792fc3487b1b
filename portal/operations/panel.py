"""The panel of operations that every page can open: what is under way first, then what ended last."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.translation import gettext

from portal.accounts.access import may
from portal.config.told import told
from portal.config.units import decimals
from portal.operations.cancel import cancel_refusal
from portal.operations.models import UNFINISHED, Operation, StageState
from portal.operations.whose import operations_listed, right_over

MOST_RUNNING, SHOWN = 20, 8


def panel_of(request: HttpRequest) -> list[Operation]:
    """Operations of the list, each with `words` and, where the person may cancel it, `is_cancellable`."""
    _, listed = operations_listed(request)
    rows = listed.select_related("created_by", "team").prefetch_related("stages")
    running = list(rows.filter(state__in=UNFINISHED)[:MOST_RUNNING])
    ended = list(rows.exclude(state__in=UNFINISHED)[: max(0, SHOWN - len(running))])
    for row in running + ended:
        row.words = _words(row)  # type: ignore[attr-defined]
        cancels = may(request, right_over(row, "operation.cancel"), row.team)
        row.is_cancellable = cancels and not cancel_refusal(row)  # type: ignore[attr-defined]
    return running + ended


def _words(row: Operation) -> str:
    if row.error:
        return told(row.error)[:120]
    running = next((stage for stage in row.stages.all() if stage.state == StageState.RUNNING), None)
    if running is not None:
        number, of = running.position + 1, len(row.stages.all())
        return gettext("%(stage)s (%(number)s of %(of)s)") % {
            "stage": gettext(running.title),
            "number": number,
            "of": of,
        }
    return (
        gettext("in %(seconds)s s") % {"seconds": decimals(f"{row.duration_s:.1f}")}
        if row.duration_s is not None
        else ""
    )
