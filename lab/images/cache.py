"""The image cache: folders that appear whole or not at all, built once however many processes ask."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def default_cache() -> Path:
    """`/var/cache/hopsight/images` for root, the user's own cache folder for others."""
    if os.getuid() == 0:
        return Path("/var/cache/hopsight/images")
    return Path.home() / ".cache" / "hopsight" / "images"


def digest_of(texts: Iterable[bytes]) -> str:
    """A short name for what an image is made of."""
    total = hashlib.sha256()
    for text in texts:
        total.update(len(text).to_bytes(8, "big") + text)
    return total.hexdigest()[:12]


def ensure_folder(cache: Path, name: str, build: Callable[[Path], None]) -> Path:
    """The folder `cache/name`, built by `build` in a scratch folder and renamed into place if it is not there."""
    target = cache / name
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / ".lock"):
        if target.is_dir():
            return target
        scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache))
        try:
            scratch.chmod(0o755)
            build(scratch)
            scratch.rename(target)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
