"""An archive of a stranger, unpacked so that it can do no harm.

1. Only regular files whose names tell what they hold (sdn.bundle.files) are written; the rest is counted and passed over.
2. A path is made of the archive's own parts: an absolute one, or one with `..`, is refused, and links and devices are.
3. Bytes are counted as they come out, not as the archive says: what would be too many or too much is refused as a whole,
   before it is written.
"""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sdn.bundle.files import is_wanted
from sdn.bundle.read import BundleError

MIB = 1 << 20
CHUNK_BYTES = 256 << 10
MAX_DEPTH, MAX_PATH_CHARS, TOLD = 24, 1024, 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may come out. `entries` counts what is passed over too."""

    entries: int = 200_000
    file_bytes: int = 256 * MIB
    total_bytes: int = 512 * MIB
    read_bytes: int = 4096 * MIB  # of everything, also of what is passed over


class _Counted:
    """The bytes that come out of the decompressor; more than allowed is refused."""

    def __init__(self, archive: tarfile.TarFile, limits: Limits) -> None:
        self.archive, self.limits, self.written, self.seen = archive, limits, 0, 0

    def members(self) -> Iterator[tarfile.TarInfo]:
        for number, member in enumerate(self.archive):
            if number >= self.limits.entries:
                raise BundleError(f"the archive has more than {self.limits.entries} entries: it is no host's report")
            self.seen += max(member.size, 0)
            if self.seen > self.limits.read_bytes:
                raise BundleError(
                    f"the archive unpacks to more than {self.limits.read_bytes // MIB} MiB: it is refused"
                )
            yield member

    def copy(self, member: tarfile.TarInfo, to: Path) -> None:
        source = self.archive.extractfile(member)
        assert source is not None
        to.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with to.open("xb") as file:
            while chunk := source.read(CHUNK_BYTES):
                size += len(chunk)
                self.written += len(chunk)
                if size > self.limits.file_bytes:
                    raise BundleError(f"{member.name[:120]} is larger than {self.limits.file_bytes // MIB} MiB: the archive is refused")  # fmt: skip
                if self.written > self.limits.total_bytes:
                    raise BundleError(f"the archive's files are more than {self.limits.total_bytes // MIB} MiB: it is refused")  # fmt: skip
                file.write(chunk)


def unpack(archive: Path, folder: Path, limits: Limits | None = None) -> tuple[str, ...]:
    """Write the archive's files below `folder`, and say what was refused, a line each. Raises BundleError for an archive
    that is none, is broken, or holds too much; what was written until then is the caller's to remove."""
    told: list[str] = []
    count = 0
    try:
        with tarfile.open(archive, "r|*") as opened:
            counted = _Counted(opened, limits or Limits())
            for member in counted.members():
                why = _refusal(member)
                if why:
                    count += 1
                    told += [f"{member.name[:120]}: {why}"] if len(told) < TOLD else []
                elif member.isreg() and is_wanted(PurePosixPath(member.name)):
                    to = folder / PurePosixPath(member.name)
                    if not to.exists():
                        counted.copy(member, to)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError) as problem:
        raise BundleError(
            f"this is no archive that can be read (tar, tar.gz, tar.xz or tar.bz2): {problem}"
        ) from problem
    more = count - len(told)
    return (*told, *([f"{more} more entries were refused"] if more else ()))


def _refusal(member: tarfile.TarInfo) -> str:
    """Why an entry is not taken; "" where it may be. A report is full of links, so one inside it is passed over unsaid."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        return "its path leads out of the archive"
    if len(member.name) > MAX_PATH_CHARS or len(path.parts) > MAX_DEPTH:
        return "its path is too long"
    if (member.issym() or member.islnk()) and is_wanted(path):
        return "it is a link, and only what it leads to could tell"
    return "it is a device" if member.ischr() or member.isblk() or member.isfifo() else ""
