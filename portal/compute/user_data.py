"""User-data as cloud-init takes it: a script, or YAML that is checked before a guest meets it.

The YAML is read as a stream of events first, so that a bomb (nested aliases, endless depth) is refused before anything is
built of it; what is built then has plain values only.
"""

from __future__ import annotations

from difflib import get_close_matches

import yaml
from django.utils.translation import gettext

from portal.compute.cloud_init_keys import CLOUD_INIT_KEYS

MAX_BYTES = 16384
MOST_HINTS = 5
NEAR = 0.7  # as difflib measures: a slip of the fingers, no other word
MAX_DEPTH, MAX_NODES, MAX_ALIASES = 40, 4000, 16
YAML_MARK = "#cloud-config"
OTHERS = (
    "#!",
    "#include",
    "#cloud-boothook",
    "#part-handler",
    "## template: jinja",
    "Content-Type: multipart/",
    "MIME-Version:",
)


def user_data_problems(text: str) -> list[str]:
    """What is wrong with it, in words; nothing for none, a script, or YAML that cloud-init can read."""
    size = len(text.encode(errors="replace"))
    if "\0" in text:
        return [gettext("a NUL byte was given; text is allowed")]
    if size > MAX_BYTES:
        return [
            gettext("%(size)s bytes were given; at most %(max_bytes)s are allowed")
            % {"size": size, "max_bytes": MAX_BYTES}
        ]
    if not text.strip():
        return []
    if text.startswith(YAML_MARK):
        return _yaml_problems(text)
    if text.startswith(OTHERS):
        return []
    first = text.splitlines()[0][:40]
    return [
        gettext(
            "it begins with “%(first)s”; a script begins with #!, YAML with %(yaml_mark)s: cloud-init ignores all else"
        )
        % {"first": first, "yaml_mark": YAML_MARK}
    ]


def user_data_hints(text: str) -> list[str]:
    """What cloud-init would pass over without a word, for text that has no problems: keys that it does not know, each with its
    line. Never a reason to refuse it: a newer cloud-init, or the image's own part of it, may know more."""
    if not text.startswith(YAML_MARK) or user_data_problems(text):
        return []
    top = yaml.compose(text, Loader=yaml.SafeLoader)
    keys = [key for key, _ in top.value] if isinstance(top, yaml.MappingNode) else []
    odd = [key for key in keys if str(key.value) not in CLOUD_INIT_KEYS | {"<<"}]
    return [_hint(str(key.value), key.start_mark.line + 1) for key in odd[:MOST_HINTS]]


def _hint(key: str, line: int) -> str:
    near = get_close_matches(key.lower().replace("-", "_"), sorted(CLOUD_INIT_KEYS), 1, NEAR)
    told = {"line": line, "key": key[:40], "near": near[0] if near else ""}
    if near:
        return gettext("line %(line)s: “%(key)s” is not known to cloud-init; did you mean %(near)s?") % told
    return gettext("line %(line)s: “%(key)s” is not known to cloud-init, which passes over it") % told


def _yaml_problems(text: str) -> list[str]:
    try:
        if problem := _bomb(text):
            return [problem]
        found = yaml.safe_load(text)
    except yaml.MarkedYAMLError as broken:
        mark = broken.problem_mark
        where = (
            gettext("line %(line)s, column %(column)s: ") % {"line": mark.line + 1, "column": mark.column + 1}
            if mark
            else ""
        )
        return [
            gettext("this is not YAML: %(where)s%(problem)s")
            % {"where": where, "problem": broken.problem or broken.context or gettext("it cannot be read")}
        ]
    except (yaml.YAMLError, ValueError, RecursionError) as broken:
        return [gettext("this is not YAML: %(broken)s") % {"broken": str(broken)[:200]}]
    if found is not None and not isinstance(found, dict):
        return [
            gettext("it is a %(name)s; cloud-config is a mapping, as “packages: [nginx]”")
            % {"name": type(found).__name__}
        ]
    odd = [str(key)[:40] for key in found or {} if not isinstance(key, str)]
    return [gettext("its keys are words; %(odd)s is none") % {"odd": ", ".join(odd[:5])}] if odd else []


def _line(event: yaml.Event) -> str:
    return gettext("line %(line)s: ") % {"line": event.start_mark.line + 1} if event.start_mark else ""


def _bomb(text: str) -> str:
    """Why the YAML would grow without measure, or ""."""
    depth = nodes = aliases = anchored = 0
    anchors: list[bool] = []
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        nodes += isinstance(event, yaml.NodeEvent)
        if isinstance(event, yaml.AliasEvent):
            aliases += 1
            if anchored:
                return _line(event) + gettext("an alias inside of what is anchored grows without measure")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            anchors.append(event.anchor is not None)
            anchored += anchors[-1]
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            anchored -= anchors.pop()
        if depth > MAX_DEPTH or nodes > MAX_NODES or aliases > MAX_ALIASES:
            return gettext(
                "it is nested deeper than %(max_depth)s, or has more than %(max_nodes)s values or %(max_aliases)s aliases"
            ) % {"max_depth": MAX_DEPTH, "max_nodes": MAX_NODES, "max_aliases": MAX_ALIASES}
    return ""
