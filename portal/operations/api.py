"""The API of operations: list, one with its log, cancel, retry."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Status

from portal.accounts.access import require, team_for
from portal.accounts.views import person
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.api.schemas import Accepted, OperationDetail, OperationOut
from portal.compute.requests import VMProblem
from portal.operations.cancel import OperationProblem, request_cancel
from portal.operations.models import Operation, OperationState
from portal.operations.retry import request_retry
from portal.operations.serialize import detail_as_json, operation_as_json
from portal.operations.whose import operations_listed, operations_seen, right_over

router = Router()


@router.get(
    "/operations",
    response=Page[OperationOut],
    summary="The team's operations, and for operators those over hosts, newest first",
)
def list_operations(
    request: HttpRequest,
    paging: Query[PageQuery],
    state: Annotated[str | None, Query(description="only operations in this state")] = None,
    object_uuid: Annotated[UUID | None, Query(description="only operations of this object")] = None,
) -> Any:
    rows = operations_listed(request)[1]
    if state is not None:
        if state not in OperationState.values:
            allowed = ", ".join(OperationState.values)
            raise VMProblem({"state": [f"“{state[:40]}” was given; {allowed} are allowed"]})
        rows = rows.filter(state=state)
    if object_uuid is not None:
        rows = rows.filter(object_uuid=object_uuid)
    rows = rows.select_related("created_by", "cancel_asked_by", "retry_of").prefetch_related("stages")
    found, after = page_of(rows, paging, newest_first=True)
    return as_page([operation_as_json(one) for one in found], after)


@router.get("/operations/{uuid}", response=OperationDetail, summary="One operation with its stages and its log")
def get_operation(request: HttpRequest, uuid: UUID) -> Any:
    return detail_as_json(_operation(request, uuid))


@router.post(
    "/operations/{uuid}/cancel", response={202: Accepted}, summary="End an operation that is under way, and undo it"
)
def post_cancel(request: HttpRequest, uuid: UUID) -> Any:
    row = _operation(request, uuid)
    require(request, right_over(row, "operation.cancel"), row.team)
    try:
        return Status(202, {"operation": operation_as_json(request_cancel(row, person(request)))})
    except OperationProblem as problem:
        raise VMProblem({"operation": [str(problem)]}) from None


@router.post(
    "/operations/{uuid}/retry", response={202: Accepted}, summary="Ask once more for what failed or was cancelled"
)
def post_retry(request: HttpRequest, uuid: UUID) -> Any:
    row = _operation(request, uuid)
    require(request, right_over(row, "operation.retry"), row.team)
    try:
        return Status(202, {"operation": operation_as_json(request_retry(row, person(request)))})
    except OperationProblem as problem:
        raise VMProblem({"operation": [str(problem)]}) from None


def _operation(request: HttpRequest, uuid: UUID) -> Operation:
    of_hosts = operations_seen(request).filter(uuid=uuid, team=None).first()
    if of_hosts is not None:
        return of_hosts
    return get_object_or_404(operations_seen(request), uuid=uuid, team=team_for(request, "operation.see"))
