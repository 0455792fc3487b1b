"""Families of guest systems, as a table: their logo, the words that tell one by an image's name, and whether they bring virtio."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """One family. `has_virtio`: whether its usual images boot from virtio devices; None where nobody can know."""

    value: str
    title: str
    words: tuple[str, ...] = ()
    has_virtio: bool | None = None


UNKNOWN = Family("", "Not known")
FAMILIES: dict[str, Family] = {
    family.value: family
    for family in (
        UNKNOWN,
        Family("debian", "Debian", ("debian",), True),
        Family("ubuntu", "Ubuntu", ("ubuntu",), True),
        Family("fedora", "Fedora", ("fedora",), True),
        Family("redhat", "RHEL, CentOS, Rocky, Alma", ("rhel", "red hat", "centos", "rocky", "alma"), True),
        Family("suse", "SUSE", ("suse", "sles"), True),
        Family("alpine", "Alpine", ("alpine",), True),
        Family("arch", "Arch", ("arch",), True),
        Family("bsd", "BSD", ("bsd",), True),
        Family("windows", "Windows", ("windows",)),
        Family("linux", "Linux", ("linux", "cirros", "busybox", "nixos", "gentoo"), True),
    )
}


def family_of(value: str) -> Family:
    """The family of that name; the unknown one for any other."""
    return FAMILIES.get(value, UNKNOWN)


def guessed(name: str) -> str:
    """The family that the words of an image's name tell, or none."""
    lowered = name.lower()
    return next((one.value for one in FAMILIES.values() if any(word in lowered for word in one.words)), "")
