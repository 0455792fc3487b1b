"""What the controller removed without a reason is on the operators' page of hosts."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.urls import reverse

from portal.accounts.models import AuditRow
from sdn.model.addresses import HostName
from tasks.controller_observer import RowObserver
from tests.cast import Cast
from tests.portal.clients import client_of, made_host


@pytest.mark.django_db(transaction=True)
def test_flows_that_nothing_explained_are_on_the_hosts_page_and_in_the_audit(cast: Cast) -> None:
    made_host()
    tell = async_to_sync(RowObserver().flows_removed)
    tell(HostName("hv1"), 3, ("table=10, priority=999 <script>alert(1)</script>",))
    tell(HostName("gone"), 1, ())
    assert AuditRow.objects.filter(action="flows.removed").count() == 1
    page = client_of(cast.olga).get(reverse("hosts")).content.decode()
    assert "3 flows removed" in page and "priority=999 &lt;script&gt;" in page
