"""The kernel's own connections, as `conntrack -L` and `/proc/net/nf_conntrack` print them."""

from __future__ import annotations

_SIDE = ("src", "dst", "sport", "dport", "type", "code", "id")


def kernel_conntrack(text: str) -> str:
    """`conntrack -L` in the words of `dpctl/dump-conntrack`, a line each."""
    lines = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] in (["ipv4"], ["ipv6"]):
            words = words[2:]
        if not words:
            continue
        pairs = [word.partition("=")[::2] for word in words if "=" in word]
        split = next((at for at, (name, _) in enumerate(pairs) if name == "src" and at), len(pairs))
        sides = [",".join(f"{name}={value}" for name, value in half if name in _SIDE) for half in (pairs[:split], pairs[split:])]  # fmt: skip
        zone = next((value for name, value in pairs if name == "zone"), "0")
        state = next((word for word in words[1:5] if word.isupper() and word.isidentifier()), "")
        status = "" if "[UNREPLIED]" in words else "SEEN_REPLY"
        told = f",protoinfo=(state={state})" if state else ""
        lines.append(f"{words[0]},orig=({sides[0]}),reply=({sides[1]}),zone={zone},status={status or 'NONE'}{told}")
    return "\n".join(lines)
