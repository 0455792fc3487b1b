"""User-data as cloud-init takes it: a script, or YAML that is checked before a guest meets it.

The YAML is read as a stream of events first, so that a bomb (nested aliases, endless depth) is refused before anything is
built of it; what is built then has plain values only.
"""

from __future__ import annotations

import yaml
from django.utils.translation import gettext

MAX_BYTES = 16384
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
