"""An initramfs archive written byte by byte, so that it needs no root and comes out the same every time (newc, see
`initramfs buffer format` in the kernel's documentation)."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field

TRAILER = "TRAILER!!!"


@dataclass(slots=True)
class Archive:
    """A newc archive in the making; `finish` gives its bytes."""

    _parts: list[bytes] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)

    def folder(self, path: str, mode: int = 0o755) -> None:
        """Add a folder and those above it, once each."""
        parent, _, _ = path.rpartition("/")
        if parent:
            self.folder(parent)
        if path not in self._known:
            self._add(path, stat.S_IFDIR | mode, b"")

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add a regular file; its folders come along."""
        self._under(path)
        self._add(path, stat.S_IFREG | mode, content)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link, unless something has that path already."""
        if path not in self._known:
            self._under(path)
            self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def device(self, path: str, major: int, minor: int) -> None:
        """Add a character device node."""
        self._under(path)
        self._add(path, stat.S_IFCHR | 0o600, b"", major, minor)

    def finish(self) -> bytes:
        """The archive, padded to the 512 bytes that tools expect."""
        whole = b"".join([*self._parts, _entry(0, TRAILER, 0, b"")])
        return whole + b"\0" * (-len(whole) % 512)

    def _under(self, path: str) -> None:
        parent, _, _ = path.rpartition("/")
        if parent:
            self.folder(parent)

    def _add(self, path: str, mode: int, content: bytes, major: int = 0, minor: int = 0) -> None:
        self._known.add(path)
        self._parts.append(_entry(len(self._known), path, mode, content, major, minor))


def _entry(inode: int, path: str, mode: int, content: bytes, major: int = 0, minor: int = 0) -> bytes:
    name = path.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + name
    return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)
