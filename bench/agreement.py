"""Is what is predicted what happens? 1,000 random packets in random worlds on a lab's two hypervisors.

Each is predicted, then sent as a probe from the same port, and a quarter of them for real too, from a raw socket in the guest's
place to raw sockets in the others' (tests/lab/agreement.py). The reference is all of them; each that differs is told in words.
"""

from __future__ import annotations

import os
import secrets

import lab as labs

WORLDS, PACKETS, REAL_SHARE = 25, 40, 0.25
LAB = "agre"


def agreement_1000_packets() -> dict[str, object]:
    """How many of the packets did what was predicted."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.config.settings")
    import django

    django.setup()
    from tests.lab.agreement import Arena, measure

    seed = secrets.randbelow(1 << 30)
    labs.down(LAB)
    try:
        arena = Arena(labs.up(LAB, 2))
        try:
            tally = measure(arena, seed, WORLDS, PACKETS, REAL_SHARE)
        finally:
            arena.close()
    finally:
        labs.down(LAB)
    asked = tally.probed + tally.sent
    agreed = asked - len(tally.differences) - len(tally.explained)
    return {
        "ours": agreed, "reference": asked, "ratio": round(agreed / asked, 4), "unit": "packets", "seed": seed,
        "verdicts": dict(tally.verdicts), "differences": tally.differences, "explained": tally.explained,
        "how": f"{tally.probed} random packets of all protocols, honest and forged, first ones and answers, in {WORLDS} random worlds on two hypervisors: predicted, then probed; {tally.sent} of them sent for real too. Provider networks and mirrors left out",
    }  # fmt: skip
