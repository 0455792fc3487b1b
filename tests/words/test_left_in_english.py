"""Every page that there is, with one of each object on it, is read in Russian: no English is left but names and terms."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from portal.accounts.entries import PAGES
from tests.cast import Cast, make_cast
from tests.portal.clients import client_of
from tests.portal.walked import make_world
from tests.words.shown import english_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]
NUMBER_IN_STYLE = re.compile(r'style="[^"]*\d,\d')  # CSS has no decimal comma
PARTS = {"status_line"}  # of other pages
# The document of the API, what programs read, and a fragment that names a request's fields by their keys.
ELSEWHERE = {"api_docs", "metrics", "vm_effect"}
# What the walked world's objects are called, and the menu's other language.
NAMES = """
Mine Motd Payments payments alice bob charlie olga Search Tiny Walked access attic ci data default English internet laptop later nano office olga pager
shelf sso tiny web
"""
# The field's own words beside those of every template: protocols, drivers, guests, processors, what switches and kernels call theirs.
TECHNICAL = """
ACK AHCI Alma Alpine Arch BSD CentOS Datapath Debian EPYC EUR Express Fedora IPAM Intel KVM Linux Matrix Mattermost
NIC Nehalem Open PCI PIN PSH RHEL Realtek Rocky SATA SCTP SUSE SandyBridge Slack TCG Tap Ubuntu Underlay VMware VRRP
Westmere Windows XL XML admin all arp attach bridge busybox cols conntrack datapath dropbear flat hardware icmp image
instance ip libvirtd machine mtu netdev new ofport pc ping qemu raw read rows sctp secure stty system tap tar tcp udp
veth virtio vxlan writeback
"""
KNOWN = frozenset([*NAMES.split(), *TECHNICAL.split()])


@pytest.fixture
def cast() -> Cast:
    made = make_cast()
    for person in (made.alice, made.olga):
        person.language = "ru"
        person.save()
    return made


def test_each_page_is_in_russian_and_no_english_is_left_on_it(cast: Cast) -> None:
    world = make_world(cast)
    clients = [client_of(person) for person in (cast.alice, cast.olga)]
    left, wrong, shown = [], [], 0
    for name, page in PAGES.items():
        if page.get is None or name in ELSEWHERE:
            continue
        url = reverse(name, kwargs=world.arguments.get(name))
        answer = next((one for client in clients if (one := client.get(url)).status_code == 200), None)
        if answer is not None and answer["Content-Type"].startswith("text/html"):
            text = answer.content.decode()
            left += [f"{name}: {words}" for words in english_of(text, KNOWN)]
            if NUMBER_IN_STYLE.search(text) or (name not in PARTS and '<html lang="ru"' not in text):
                wrong.append(name)
            shown += 1
    assert (left, wrong) == ([], [])
    assert shown > 80


def test_english_is_found_wherever_it_is_read() -> None:
    page = '<p>ВМ <b>is off</b> <code>ip link</code></p><a title="Delete">web-1</a><br><i aria-label="CPU"></i>'
    assert list(english_of(page, frozenset())) == ["is off", "Delete"]
    assert list(english_of(page, frozenset({"is", "off", "Delete"}))) == []
