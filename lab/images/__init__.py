"""Guest images made from Debian's packages."""

from lab.images.tiny import TinyImage, ensure_tiny

__all__ = ["TinyImage", "ensure_tiny"]
