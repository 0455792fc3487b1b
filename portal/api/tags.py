"""ETags of what can be changed, for answers that also tell what ages by itself: room that is free, when it was seen.

Such a tag is weak (RFC 9110, 8.8.1): it stays while the rest of the answer changes. If-Match takes it, so that a change of what was read is
refused when somebody else changed it, and not because time passed; an answer that has one is always sent whole.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.http import HttpResponse
from django.utils.cache import set_response_etag

WEAK = 'W/"'


def tag_changeable(answer: HttpResponse, *values: Any) -> None:
    """Gives the answer the ETag of these values, which are all that a change of its object can set."""
    digest = hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()
    answer.headers["ETag"] = f'{WEAK}{digest[:32]}"'


def tag_of(answer: HttpResponse) -> str:
    """The answer's own ETag, or that of all of its bytes."""
    if "ETag" not in answer.headers:
        set_response_etag(answer)
    return answer.headers["ETag"]


def is_always_whole(answer: Any) -> bool:
    """Whether its ETag tells less than it does: nobody's copy is known to be the same."""
    return str(answer.headers.get("ETag", "")).startswith(WEAK)
