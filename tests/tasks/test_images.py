"""Images come in whole or not at all: what lies about itself is refused in words, fetches reach nothing inside, and the
saga ends from every stage as an image or as nothing. The disks are real ones, made and read by qemu-img and qemu-io."""

from __future__ import annotations

import functools
import hashlib
import http.server
import subprocess
import threading
import time

import pytest

from portal.compute.models import Image
from portal.config.internet import is_public
from portal.images.models import ImageImport
from portal.images.store import image_file, source_file
from portal.operations.models import Operation, OperationStage, OperationState
from portal.operations.stages import STAGES
from tasks.hypervisor.disks import DiskProblem
from tasks.images.fetch import fetch, resolve
from tasks.images.inspect import inspect_image
from tests.tasks.test_sagas import die_after, fail_in, run

CASES = [(kind, name) for kind in ("image.import", "image.delete") for name, _ in STAGES[kind]]
LOOPBACK = ("127.0.0.0/8",)


def qemu_img(*arguments):
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def made_disk(path, size="64M"):
    path.parent.mkdir(parents=True, exist_ok=True)
    qemu_img("create", "-q", "-f", "qcow2", path, size)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 256k", str(path)], check=True, stdout=-3)
    return path


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size - 200 * 1024])


def with_backing(path):
    qemu_img("create", "-q", "-f", "raw", path.with_name("other"), "1M")
    path.unlink()
    qemu_img("create", "-q", "-f", "qcow2", "-b", path.with_name("other"), "-F", "raw", path)


def with_data_file(path):
    path.unlink()
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={path.with_name('other')}", path, "1M")


def huge(path):
    path.unlink()
    qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", path, "16T")


LIES = {
    "a backing file": (with_backing, "qcow2", "has a backing file"),
    "a data file": (with_data_file, "qcow2", "keeps its data in another file"),
    "a huge disk": (huge, "qcow2", "a disk of 1.638e+04 GiB"),
    "cut off": (cut, "qcow2", "is cut off"),
    "cut in its header": (lambda path: path.write_bytes(path.read_bytes()[:60]), "qcow2", "is cut off"),
    "another format": (lambda path: None, "raw", "said to be raw; it is a qcow2"),
    "a raw one": (lambda path: path.write_bytes(bytes(4096)), "qcow2", "said to be a qcow2; it is something else"),
    "packed": (lambda path: path.write_bytes(b"\x1f\x8b" + bytes(510)), "raw", "packed with gzip"),
    "half a sector": (lambda path: path.write_bytes(bytes(700)), "raw", "whole sectors"),
    "nothing": (lambda path: path.write_bytes(b""), "raw", "a disk of no bytes"),
    "a web page": (lambda path: path.write_bytes(b"<!DOCTYPE html>"), "qcow2", "it is a web page"),
    "many clusters for nothing": (lambda path: path.write_bytes(path.read_bytes()[:20] + b"\0\0\0\x3f" + path.read_bytes()[24:]), "qcow2", "have 63 bits"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_an_image_that_lies_is_refused_in_words(tmp_path, lie):
    change, disk_format, words = LIES[lie]
    path = made_disk(tmp_path / "in" / "source")
    change(path)
    with pytest.raises(DiskProblem, match="(?s)" + words.replace("+", r"\+")):
        inspect_image(path, disk_format, 200)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1", "fe80::1",
     "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::"],
)  # fmt: skip
def test_addresses_inside_are_no_places_to_fetch_from(address):
    assert not is_public(address)


def test_addresses_of_the_internet_are():
    assert is_public("9.9.9.9") and is_public("2620:fe::fe")


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "::1"])
def test_a_name_is_judged_by_its_addresses_however_it_is_written(host):
    with pytest.raises(DiskProblem, match=r"not on the internet|has no address"):
        resolve(host, 80)


class Files(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if not self.path.startswith("/to/"):
            return super().do_GET()
        self.send_response(302)
        self.send_header("Location", self.path.removeprefix("/to/"))
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder over HTTP on the loopback, and its address."""
    folder = tmp_path / "served"
    made_disk(folder / "good.qcow2")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def fetched(url, target, most_bytes=10**9, also=LOOPBACK):
    return fetch(url, target, most_bytes, time.monotonic() + 20, also)


def test_a_file_is_fetched_through_a_redirect(served, tmp_path):
    folder, url = served
    size = fetched(f"{url}/to/{url}/good.qcow2", tmp_path / "got")
    assert size == (folder / "good.qcow2").stat().st_size
    assert (tmp_path / "got").read_bytes() == (folder / "good.qcow2").read_bytes()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/to/http://169.254.169.254/latest/meta-data/", "not on the internet"),
        ("/to/http://[::1]/x", "not on the internet"),
        ("/to/file:///etc/passwd", "http:// and https:// addresses are allowed"),
        ("/to//to//to//to//to//to//to//x", "more than 5 redirects|answered 404"),
        ("/none", "answered 404"),
    ],
)
def test_a_redirect_is_judged_like_the_first_url(served, tmp_path, path, words):
    with pytest.raises(DiskProblem, match=words):
        fetched(served[1] + path, tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_a_file_that_is_too_large_is_not_kept_and_the_loopback_is_closed_unless_told(served, tmp_path):
    with pytest.raises(DiskProblem, match="1000 are allowed"):
        fetched(f"{served[1]}/good.qcow2", tmp_path / "got", 1000)
    with pytest.raises(DiskProblem, match="not on the internet"):
        fetched(f"{served[1]}/good.qcow2", tmp_path / "got", also=())
    assert not (tmp_path / "got").exists()


@pytest.fixture
def imports(world, settings, tmp_path):
    """Makes an import whose bytes are here, and its operation."""
    settings.IMAGE_CACHE = tmp_path / "cache"

    def make(kind="image.import", **columns):
        row = ImageImport.objects.create(
            team=world.team, name="Mine", slug="mine", source="upload", disk_format="qcow2", size_bytes=0, **columns
        )
        if not columns.get("url"):
            size = made_disk(source_file(row.uuid)).stat().st_size
            ImageImport.objects.filter(pk=row.pk).update(size_bytes=size, received_bytes=size)
        if kind == "image.delete":
            assert run(world, asked(world, "image.import", row)).state == OperationState.DONE
        return row, asked(world, kind, row)

    return make


def asked(world, kind, row):
    operation = Operation.objects.create(
        team=world.team, kind=kind, object_type="image", object_uuid=row.uuid, object_name=row.name
    )
    for position, (name, title) in enumerate(STAGES[kind]):
        OperationStage.objects.create(operation=operation, position=position, name=name, title=title)
    return operation


def files_in(settings):
    return sorted(path.name for path in settings.IMAGE_CACHE.rglob("*") if path.is_file())


def assert_there(row, settings):
    image = Image.objects.get(slug="mine")
    assert files_in(settings) == [f"{row.uuid}.qcow2"] and image.disk_path == str(image_file(row.uuid))
    read = ["qemu-io", "-r", "-f", "qcow2", "-c", "read -P 7 1M 256k", image.disk_path]
    assert b"Pattern verification failed" not in subprocess.run(read, capture_output=True, check=True).stdout


def assert_nothing(settings):
    assert (
        files_in(settings) == [] and not ImageImport.objects.exists() and not Image.objects.filter(slug="mine").exists()
    )


def test_a_fetched_image_has_the_bytes_its_owner_wrote_and_boots_a_vm(world, imports, served, settings):
    settings.IMAGE_FETCH_ALSO = LOOPBACK
    digest = hashlib.sha512((served[0] / "good.qcow2").read_bytes()).hexdigest()
    row, operation = imports(url=f"{served[1]}/good.qcow2", checksum=digest)
    ImageImport.objects.update(source="url", size_bytes=10**8)
    operation = run(world, operation)
    assert (operation.state, operation.error) == (OperationState.DONE, "")
    assert_there(row, settings)
    vm = world.make_vm()
    vm.image = Image.objects.get(slug="mine")
    vm.save()
    assert run(world, world.ask("vm.create", vm)).state == OperationState.DONE
    kept = run(world, asked(world, "image.delete", row))
    assert kept.state == OperationState.FAILED and "what the disks of web-1 lie on" in kept.error
    assert_there(row, settings)


@pytest.mark.parametrize("kind", ["sha", "backing"])
def test_an_image_that_is_not_what_was_said_leaves_nothing(world, imports, settings, kind):
    row, operation = imports(checksum="0" * 64 if kind == "sha" else "")
    if kind == "backing":
        with_backing(source_file(row.uuid))
        ImageImport.objects.update(size_bytes=source_file(row.uuid).stat().st_size)
    operation = run(world, operation)
    assert operation.state == OperationState.FAILED
    assert ("was given: another file" if kind == "sha" else "backing file") in operation.error
    assert_nothing(settings)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_stage_that_fails_leaves_an_image_or_nothing(world, imports, settings, kind, name, when):
    row, operation = imports(kind)
    operation = fail_in(world, operation, name, when)
    assert (operation.state, operation.error) == (OperationState.FAILED, "the disk is full")
    if kind == "image.delete" and (name == "copies" or (name, when) == ("row", "before")):
        assert_there(row, settings)
    else:
        assert_nothing(settings)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_stage_whose_worker_is_killed_runs_again_and_ends_as_asked(world, imports, settings, kind, name):
    row, operation = imports(kind)
    die_after(world, operation, name)
    operation = run(world, operation)
    assert (operation.state, operation.error) == (OperationState.DONE, "")
    if kind == "image.import":
        assert_there(row, settings)
    else:
        assert_nothing(settings)
