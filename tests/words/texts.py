"""The user-visible words of a template's source, with where they stand: what the tests of the translations walk over.

Django's own tokens are masked by one private character each, so that what is left is HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

TOKEN = re.compile(r"{%.*?%}|{{.*?}}|{#.*?#}", re.DOTALL)
MARKED = re.compile(
    r"{%\s*(blocktranslate|comment)\b.*?{%\s*end\1\s*%}|{% block (?:body_class|island) %}.*?{% endblock %}", re.DOTALL
)
# What nobody reads, or what is not translated: code, keys, pictures.
SILENT = re.compile(r"<!--.*?-->|<(script|style|pre|code|svg|kbd)\b[^>]*>.*?</\1>", re.DOTALL)
TAG = re.compile(r"<[^>]*>", re.DOTALL)
SPOKEN = re.compile(r"""\b(?<![-\w])(aria-label|aria-valuetext|title|placeholder|alt)="([^"]*)\"""")
WORD = re.compile(r"[^\W\d_]+(?:[’'-][^\W\d_]+)*")
BASE = 0xE000
# Names and terms that are the same in each language: a text of these alone needs no translation.
SAME = """
API ARP CPU CSV DHCP DNS FIN Geneve Hopsight HTTP HTTPS ICMP IP IPv JSON LLDP MAC Markdown MB MTU NAT
OVS OVSDB PNG QEMU RAM RST SSH SVG SYN TCP TTL TXT UDP URL UTC UUID VLAN VNI VNC VXLAN amp bps
br cat id int libvirt manage ms nbsp ovs-ofctl pcapng pps py s vCPU vSwitch virt-install x
"""
TERMS = frozenset(SAME.split())


@dataclass(frozen=True)
class Text:
    """Words at `start:end` of the source; `kind` is "text", "attribute", or "argument" of a tag or filter."""

    start: int
    end: int
    source: str
    kind: str


def has_words(text: str) -> bool:
    """Whether somebody has to translate it."""
    plain = re.sub(r"&\w+;", " ", TOKEN.sub(" ", text))
    return any(word not in TERMS and len(word) > 1 for word in WORD.findall(plain))


def unmarked(source: str) -> list[Text]:
    """The words that stand outside of translate tags, in their order."""
    quiet = MARKED.sub(lambda found: " " * len(found[0]), source)
    tokens = [(found.start(), found.end(), found[0]) for found in TOKEN.finditer(quiet)]
    words = list(_in_html(quiet, tokens))
    alone = [one for one in _arguments(tokens) if not any(text.start <= one.start < text.end for text in words)]
    return sorted([*words, *alone], key=lambda text: text.start)


def _in_html(source: str, tokens: list[tuple[int, int, str]]) -> Iterator[Text]:
    masked, places = _mask(source, tokens)
    masked = SILENT.sub(lambda found: "<" + "x" * (len(found[0]) - 2) + ">", masked)
    at = 0
    for tag in [*TAG.finditer(masked), None]:
        end = tag.start() if tag else len(masked)
        yield from _pieces(source, places, masked, (at, end), "text")
        if tag is None:
            return
        for attribute in SPOKEN.finditer(masked, tag.start(), tag.end()):
            yield from _pieces(source, places, masked, attribute.span(2), "attribute")
        at = tag.end()


def _mask(source: str, tokens: list[tuple[int, int, str]]) -> tuple[str, list[int]]:
    """The source with one character for each token, and where each character of that stands in the source."""
    out: list[str] = []
    places: list[int] = []
    at = 0
    for number, (start, end, _) in enumerate(tokens):
        out.append(source[at:start] + chr(BASE + number))
        places += [*range(at, start), start]
        at = end
    out.append(source[at:])
    return "".join(out), [*places, *range(at, len(source) + 1)]


def _pieces(source: str, places: list[int], masked: str, span: tuple[int, int], kind: str) -> Iterator[Text]:
    """What lies between tags of Django's that are not variables."""
    start = span[0]
    for at in range(span[0], span[1] + 1):
        is_end = at == span[1]
        if is_end or (ord(masked[at]) >= BASE and source[places[at] : places[at] + 2] != "{{"):
            first, last = places[start], places[at]
            piece = source[first:last]
            lead, tail = len(piece) - len(piece.lstrip()), len(piece) - len(piece.rstrip())
            if has_words(piece):
                yield Text(first + lead, last - tail, piece.strip(), kind)
            start = at + 1


ARGUMENT = re.compile(
    r"""(?:\b(?:label|title|hint|words|placeholder|note|text|heading)=|\|(?:default(?:_if_none)?|add):|\b(?!(?:css|style)=)\w+=(?="[^"]* [^"]*"))"([^"]+)\""""
)


def _arguments(tokens: list[tuple[int, int, str]]) -> Iterator[Text]:
    """Words that are given to an included template, or in place of an empty value."""
    for start, _, token in tokens:
        if token.startswith(("{{", "{% include", "{% with")):
            for found in ARGUMENT.finditer(token):
                if has_words(found[1]):
                    yield Text(start + found.start(1) - 1, start + found.end(1) + 1, found[1], "argument")
