"""Where an S3-compatible store may be said to be: the form of an endpoint, a bucket, a prefix and a region."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.utils.translation import gettext

from portal.backups.models import BackupStore

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,200}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PREFIX = re.compile(r"([A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*)?")
REGION = re.compile(r"[a-z0-9-]{0,40}")
Errors = dict[str, list[str]]


def s3_problems(endpoint: str, bucket: str, prefix: str, region: str) -> Errors:
    """All that is wrong with them. Whether it is there, a look at it tells."""
    errors: Errors = {}
    if not is_endpoint(endpoint):
        errors["endpoint"] = [
            gettext("“%(endpoint)s” was given; allowed is https://host or https://host:port, or http:// likewise")
            % {"endpoint": endpoint[:60]}
        ]
    if not BUCKET.fullmatch(bucket):
        errors["bucket"] = [
            gettext("“%(bucket)s” was given; allowed are 3 to 63 of a-z, 0-9, - and ., none of these two at an end")
            % {"bucket": bucket[:63]}
        ]
    if not PREFIX.fullmatch(prefix) or len(prefix) > 200 or {"..", "."} & set(prefix.split("/")):
        errors["prefix"] = [
            gettext("“%(prefix)s” was given; allowed are at most 200 of A-Z, a-z, 0-9, _, - and ., in parts by /")
            % {"prefix": prefix[:60]}
        ]
    if not REGION.fullmatch(region):
        errors["region"] = [
            gettext("“%(region)s” was given; allowed are at most 40 of a-z, 0-9 and -") % {"region": region[:40]}
        ]
    if not errors:
        for one in BackupStore.objects.filter(endpoint=endpoint, bucket=bucket):
            if one.prefix == prefix:
                errors["prefix"] = [
                    gettext("the store %(one)s is there already: give another prefix") % {"one": one.name}
                ]
            elif (
                not one.prefix
                or not prefix
                or f"{one.prefix}/".startswith(f"{prefix}/")
                or f"{prefix}/".startswith(f"{one.prefix}/")
            ):
                errors["prefix"] = [
                    gettext("the store %(one)s is at “%(prefix)s”, and neither may lie in the other")
                    % {"one": one.name, "prefix": one.prefix}
                ]
    return errors


def is_endpoint(endpoint: str) -> bool:
    """Whether it is a scheme, a host and perhaps a port, and nothing else."""
    if len(endpoint) > 200:
        return False
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return False
    host = parts.netloc.removesuffix(f":{port}") if port is not None else parts.netloc
    if parts.scheme not in ("http", "https") or endpoint != f"{parts.scheme}://{parts.netloc}":
        return False
    return HOST.fullmatch(host) is not None and port != 0
