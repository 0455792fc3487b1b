"""The sentences that a source can make, read off its syntax tree: what it raises, gives back, or tells while it works.

Each expression in an f-string stands for `VALUE`, each name for what its function gives it; a choice is every one of its ends.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import product
from pathlib import Path

VALUE = "7"
MOST = 64  # of one expression
TOLD_BY = ("tell", "_note", "call", "if_there")
# What some expressions are, which are words of other functions.
ELSEWHERE = {
    "backup.get_kind_display().lower()": ("full", "incremental"),
    "TITLES[bad.key]": ("From outside", "From where you log in", "From a VM beside it"),
    "', '.join(left)": ("its files", "its files, volume 7", "volume 7"),
    "row.title": ("Make the disk",),
    "row.state": ("done",),
    "rate_words(rate)": ("7.0 packets/s, 7.0 kbit/s",),
    "rate_words(seeing.rate(passage.host, last))": ("7.0 packets/s, 7.0 kbit/s",),
    "' and '.join(loose)": ("its source", "its source and its target", "its port"),
    "_port_words(last, predicted)": ("web-1", "port 7"),
    "_drop_words(last, seeing)": ("on hv1", "in table 65 (ingress_rules) of hv1, no ingress rule allows it"),
    "choice.words": ("7: asked for by name",),
    "vm_create.await_wired(context)": ("after 7 ms",),
    "vm_create.start(context)": ("tap 7",),
    "_move_live(context, vm, (source, target))": ("live", "live, 7 s after the guest stopped"),
    "instead": ("", ": upload the file instead"),
    "_copy_live(context, backup, files)": ("all of it", "what was written since the last one"),
    "_copy_off(context, backup, files)": ("whole, while it is off", "all of it, while it is off"),
}


def sentences(path: Path, raised: tuple[str, ...], gives: bool = False) -> Iterator[str]:
    """What is in the exceptions named, in calls of `tell`, and, where the file `gives` words, in what functions return."""
    for function in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)):
        names = _names(function)
        for node in ast.walk(function):
            for said in _said(node, raised, gives):
                yield from (words for words in _strings(said, names) if " " in words.strip())


def _said(node: ast.AST, raised: tuple[str, ...], gives: bool) -> list[ast.expr]:
    if isinstance(node, ast.Call) and node.args:
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        return node.args if called in (*raised, *TOLD_BY) else []
    return [node.value] if gives and isinstance(node, ast.Return) and node.value is not None else []


def _names(function: ast.FunctionDef) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return found


def _strings(node: ast.expr, names: dict[str, list[ast.expr]]) -> list[str]:
    """Every string that the expression can be; none where it is no words of this function's."""
    if (known := ELSEWHERE.get(ast.unparse(node))) is not None:
        return list(known)
    match node:
        case ast.Constant(value=str() as words):
            return [words]
        case ast.JoinedStr():
            parts = [_strings(part, names) or [VALUE] for part in node.values]
            return ["".join(one) for one in list(product(*parts))[:MOST]]
        case ast.FormattedValue(format_spec=None):
            return _strings(node.value, names)
        case ast.FormattedValue() | ast.Call():
            return []
        case ast.IfExp():
            return [*_strings(node.body, names), *_strings(node.orelse, names)]
        case ast.BoolOp(op=ast.Or()):
            return [words for part in node.values for words in _strings(part, names) or [VALUE]]
        case ast.BinOp(op=ast.Add()):
            pairs = product(_strings(node.left, names) or [VALUE], _strings(node.right, names) or [""])
            return ["".join(pair) for pair in pairs]
        case ast.BinOp(op=ast.Mult()):
            return ["", *found] if (found := _strings(node.left, names)) else []
        case ast.Tuple():
            return [words for part in node.elts for words in _strings(part, names)]
        case ast.Name():
            rest = {name: values for name, values in names.items() if name != node.id}
            return [words for value in names.get(node.id, ()) for words in _strings(value, rest)]
    return []
