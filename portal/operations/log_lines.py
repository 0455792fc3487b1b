"""The lines of an operation's log, in the page's language; rows and the API keep the English ones."""

from __future__ import annotations

import re

from django.utils.translation import gettext

from portal.config.told import told
from portal.operations.models import OperationState, StageState

LINE = re.compile(rf"(?P<title>.+?): (?P<state>{'|'.join(StageState.values)})(?: \((?P<detail>.*)\))?", re.DOTALL)
ENDS = {state.value: state.label for state in OperationState}


def log_line(words: str) -> str:
    """`Make the disk: done (8 GiB over Debian)`, or what else a worker notes."""
    if words in ENDS:
        return str(ENDS[words]).lower()
    if (match := LINE.fullmatch(words)) is None:
        return told(words)
    title, state, detail = match.group("title", "state", "detail")
    return f"{gettext(title)}: {str(StageState(state).label).lower()}" + (f" ({told(detail)})" if detail else "")
