"""A store in a bucket of an S3-compatible service.

A disk goes up in parts, one of them in memory at a time, each signed with its own SHA-256, which the service compares
with what arrived. An upload that does not end is aborted, by whoever gave up, by the next try of the same key, or by the
look through the store. Only what every S3-compatible service has is used: no trailing checksums, no bulk delete.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from botocore.session import Session

from portal.backups.models import FOLDER
from tasks.backups.s3_words import BROKEN, words_of
from tasks.backups.store import CHUNK_BYTES, Lying, OnBytes, Put, StoreProblem, StoreSeen, is_key, lying_of

MARK = ".hopsight-store"
PART_BYTES, PARTS_MOST = 8 * 1024**2, 10_000  # S3's: at least 5 MiB but for the last one, and at most so many
ATTEMPTS = 4  # of one request
RESUMES = 5  # of one download, where its connection breaks
FAILURES = (ClientError, BotoCoreError, ResponseParserError)

logging.getLogger("botocore").setLevel(logging.WARNING)  # below that it tells what it signs


@dataclass(frozen=True, slots=True)
class Access:
    """Where, and as whom. `is_hasty`: for a look, which fails rather than wait."""

    endpoint: str
    region: str
    access_key: str
    secret: str = field(repr=False)
    is_hasty: bool = False


@lru_cache(maxsize=16)
def _client(access: Access) -> Any:
    """botocore's, which threads share."""
    config = Config(
        signature_version="s3v4", connect_timeout=5, read_timeout=10 if access.is_hasty else 60, tcp_keepalive=True,
        retries={"total_max_attempts": 1 if access.is_hasty else ATTEMPTS, "mode": "standard"},
        s3={"addressing_style": "path", "payload_signing_enabled": True},
        request_checksum_calculation="when_required", response_checksum_validation="when_required",
    )  # fmt: skip
    return Session().create_client(
        "s3", region_name=access.region, endpoint_url=access.endpoint, aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret, config=config,
    )  # fmt: skip


def part_bytes(size_bytes: int) -> int:
    """How large the parts of a file of that size are: whole MiB, no more parts than S3 takes."""
    least = -(-size_bytes // PARTS_MOST)
    return max(PART_BYTES, -(-least // 1024**2) * 1024**2)


@contextmanager
def _unless(code: str) -> Iterator[None]:
    """That answer of the service's is none to us."""
    try:
        yield
    except ClientError as problem:
        if problem.response.get("Error", {}).get("Code") != code:
            raise


class S3Store:
    """The store in one bucket, under one prefix, which is its alone."""

    def __init__(self, name: str, access: Access, bucket: str, prefix: str, uuid: UUID) -> None:
        self._name = name
        self._access = access
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._uuid = str(uuid)

    def look(self, may_mark: bool) -> StoreSeen:
        where = {"Bucket": self._bucket, "Key": self._root + MARK}
        hasty = _client(replace(self._access, is_hasty=True))
        with self._told("look at it"):
            told = self._text(hasty, where)
            if told is None and may_mark:
                hasty.put_object(**where, Body=self._uuid.encode())
                told = self._uuid
        if told is None:
            words = f"the bucket {self._bucket} has no {self._root}{MARK} (any more): was it emptied?"
            raise StoreProblem(f"store {self._name}: {words}")
        if told != self._uuid:
            raise StoreProblem(f"store {self._name}: bucket and prefix are another installation's store")
        return StoreSeen(None)

    def put(self, key: str, source: Path, on_bytes: OnBytes) -> Put:
        target, size = self._key(key), source.stat().st_size
        with self._told("write to it"), source.open("rb") as reader:
            self._end_uploads(target)
            self._s3.delete_object(Bucket=self._bucket, Key=target)
            put = self._put_parts(target, reader, part_bytes(size), on_bytes)
            lies = self._s3.head_object(Bucket=self._bucket, Key=target)["ContentLength"]
        if not put.size_bytes == size == lies:
            words = f"{size} bytes were to be written and {put.size_bytes} were; {lies} lie there"
            raise StoreProblem(f"store {self._name}: {words}")
        return put

    def _put_parts(self, key: str, reader: BinaryIO, part: int, on_bytes: OnBytes) -> Put:
        where = {"Bucket": self._bucket, "Key": key}
        upload = {**where, "UploadId": self._s3.create_multipart_upload(**where)["UploadId"]}
        digest, done, parts, is_whole = hashlib.sha256(), 0, [], False
        try:
            for number, chunk in enumerate(iter(partial(reader.read, part), b""), 1):
                answer = self._s3.upload_part(**upload, PartNumber=number, Body=chunk)
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
                digest.update(chunk)
                done += len(chunk)
                on_bytes(done)
            with _unless(
                "NoSuchUpload"
            ):  # its answer was lost and it was asked again: whether it is whole, its size tells
                self._s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
            is_whole = True
        finally:
            if not is_whole:
                with suppress(*FAILURES):
                    self._s3.abort_multipart_upload(**upload)
        return Put(done, digest.hexdigest())

    def put_text(self, key: str, text: str) -> None:
        with self._told("write to it"):
            self._s3.put_object(Bucket=self._bucket, Key=self._key(key), Body=text.encode())

    def read(self, key: str) -> Iterator[bytes]:
        where: dict[str, Any] = {"Bucket": self._bucket, "Key": self._key(key)}
        at, breaks = 0, 0
        while True:
            try:
                answer = self._s3.get_object(**where)
                where["IfMatch"] = answer["ETag"]
                for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
                    at += len(chunk)
                    yield chunk
                return
            except BROKEN as problem:
                breaks += 1
                if breaks > RESUMES:
                    raise self._words("read from it", problem) from None
                if at:
                    where["Range"] = f"bytes={at}-"
            except FAILURES as problem:
                raise self._words("read from it", problem) from None

    def remove_all(self, folder: str) -> None:
        prefix = self._key(folder) + "/"
        with self._told("remove from it"):
            self._end_uploads(prefix)
            for one in list(self._objects(prefix)):
                self._s3.delete_object(Bucket=self._bucket, Key=one["Key"])

    def inventory(self) -> list[Lying]:
        prefix, cut = f"{self._root}{FOLDER}/", len(self._root)
        with self._told("look through it"):
            uploads = [one["Key"][cut:] for one in self._uploads(prefix)]
            return lying_of(((one["Key"][cut:], one["Size"]) for one in self._objects(prefix)), uploads)

    def end_uploads(self, folder: str) -> None:
        with self._told("end uploads to it"):
            self._end_uploads(self._key(folder) + "/")

    @property
    def _s3(self) -> Any:
        return _client(self._access)

    def _text(self, client: Any, where: dict[str, str]) -> str | None:
        with _unless("NoSuchKey"):
            found: bytes = client.get_object(**where)["Body"].read(200)
            return found.decode(errors="replace").strip()
        return None

    def _objects(self, prefix: str) -> Iterator[dict[str, Any]]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            yield from page.get("Contents", ())

    def _uploads(self, prefix: str) -> Iterator[dict[str, Any]]:
        for page in self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=prefix):
            yield from page.get("Uploads", ())

    def _end_uploads(self, prefix: str) -> None:
        for one in list(self._uploads(prefix)):
            self._s3.abort_multipart_upload(Bucket=self._bucket, Key=one["Key"], UploadId=one["UploadId"])

    def _key(self, key: str) -> str:
        if not is_key(key):
            raise StoreProblem(f"store {self._name}: “{key[:80]}” is no key of ours")
        return self._root + key

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except FAILURES as problem:
            raise self._words(what, problem) from None

    def _words(self, what: str, problem: Any) -> StoreProblem:
        return StoreProblem(f"store {self._name}: could not {what}: {words_of(problem)}")
