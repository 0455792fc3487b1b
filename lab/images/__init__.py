"""Guest images, made from what Debian ships and kept in a cache that outlives labs."""

from __future__ import annotations

from lab.images.cache import default_cache
from lab.images.debian import DebianImage, build_debian, find_debian
from lab.images.tiny import TinyImage, ensure_tiny

__all__ = ["DebianImage", "TinyImage", "build_debian", "default_cache", "ensure_tiny", "find_debian"]
