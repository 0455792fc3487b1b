"""A real S3 service (moto's) as a process on loopback, which asks for signed requests; and ones that are broken in one way each."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from botocore.session import Session

from tests.waiting import wait_for

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
SETS_UP = "6"  # requests that are taken unsigned, until the user, its rights and keys are made


@dataclass(frozen=True)
class Service:
    """Where it is, and the keys of one who may do all there, and of one who may do nothing."""

    endpoint: str
    access_key: str
    secret: str
    powerless: tuple[str, str]

    def client(self) -> Any:
        """For what a test does behind the product's back."""
        return client_of("s3", self.endpoint, self.access_key, self.secret)

    def bucket(self, name: str) -> str:
        """A bucket of that name, which is empty."""
        s3 = self.client()
        s3.create_bucket(Bucket=name)
        for one in s3.list_objects_v2(Bucket=name).get("Contents", ()):
            s3.delete_object(Bucket=name, Key=one["Key"])
        return name

    def keys(self, bucket: str) -> list[str]:
        """What lies in it, in order."""
        return sorted(one["Key"] for one in self.client().list_objects_v2(Bucket=bucket).get("Contents", ()))

    def contents(self, bucket: str) -> dict[str, bytes]:
        """What lies in it, with its bytes."""
        s3 = self.client()
        return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in self.keys(bucket)}

    def put_back(self, bucket: str, contents: dict[str, bytes]) -> None:
        """It has what it had, and nothing more."""
        s3 = self.client()
        for one in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
            s3.abort_multipart_upload(Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"])
        for key in {*self.keys(bucket)} - {*contents}:
            s3.delete_object(Bucket=bucket, Key=key)
        for key in {*contents} - {*self.keys(bucket)}:
            s3.put_object(Bucket=bucket, Key=key, Body=contents[key])

    def uploads(self, bucket: str) -> list[str]:
        """The keys of what is not whole."""
        return [one["Key"] for one in self.client().list_multipart_uploads(Bucket=bucket).get("Uploads", ())]


@lru_cache(maxsize=16)  # to make one takes 0.1 s
def client_of(what: str, endpoint: str, access_key: str = "x", secret: str = "x") -> Any:
    return Session().create_client(
        what, region_name="us-east-1", endpoint_url=endpoint, aws_access_key_id=access_key, aws_secret_access_key=secret
    )


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def s3_service(folder: Path) -> Iterator[Service]:
    """The service, until the end."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": SETS_UP, "MOTO_S3_CUSTOM_ENDPOINTS": ""}
    with (folder / "s3.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        wait_for(lambda: _listens(port), 60, "the S3 service listens", 0.1)
        yield _with_keys(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _with_keys(endpoint: str) -> Service:
    iam, keys = client_of("iam", endpoint), []
    for name in ("backups", "powerless"):
        iam.create_user(UserName=name)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        keys.append((made["AccessKeyId"], made["SecretAccessKey"]))
    iam.put_user_policy(UserName="backups", PolicyName="all", PolicyDocument=json.dumps(POLICY))
    iam.get_user(UserName="backups")
    return Service(endpoint, *keys[0], keys[1])


class Gate:
    """A way to a service that can be shut, and that cuts an answer off after so many bytes, once."""

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.removeprefix("http://").partition(":")
        self._to = (host, int(port))
        self.is_shut = False
        self.cut_after = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._take, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                if self.is_shut:
                    near.close()
                    continue
                far = socket.create_connection(self._to)
                for ends, may_cut in (((near, far), False), ((far, near), True)):
                    threading.Thread(target=self._pass, args=(*ends, may_cut), daemon=True).start()

    def _pass(self, from_: socket.socket, to: socket.socket, may_cut: bool) -> None:
        passed = 0
        with suppress(OSError):
            while chunk := from_.recv(65536):
                passed += len(chunk)
                if self.is_shut or (may_cut and 0 < self.cut_after < passed):
                    self.cut_after = 0
                    break
                to.sendall(chunk)
        for one in (from_, to):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def answering(status: int, body: bytes, certificate: Path | None = None) -> Iterator[str]:
    """The endpoint of what answers everything so; with a certificate (and its key) over TLS."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is told."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
