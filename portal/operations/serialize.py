"""Operations as the API, the events and the islands see them."""

from __future__ import annotations

from typing import Any

from portal.operations.models import Operation, OperationStage


def operation_as_json(operation: Operation) -> dict[str, Any]:
    """The whole operation with its stages in order."""
    return {
        "uuid": str(operation.uuid),
        "kind": operation.kind,
        "object_type": operation.object_type,
        "object_uuid": str(operation.object_uuid),
        "object_name": operation.object_name,
        "state": operation.state,
        "error": operation.error,
        "created_at": _moment(operation.created_at),
        "started_at": _moment(operation.started_at),
        "finished_at": _moment(operation.finished_at),
        "created_by": operation.created_by.username if operation.created_by else None,
        "cancel_asked_by": operation.cancel_asked_by.username if operation.cancel_asked_by else None,
        "retry_of": str(operation.retry_of.uuid) if operation.retry_of else None,
        "stages": [stage_as_json(stage) for stage in operation.stages.all()],
    }


def detail_as_json(operation: Operation) -> dict[str, Any]:
    """As `operation_as_json`, with its log."""
    return operation_as_json(operation) | {"log": [{"at": at, "words": words} for at, words in operation.log]}


def stage_as_json(stage: OperationStage) -> dict[str, Any]:
    """One stage; `duration_s` is null until it ended."""
    duration = None
    if stage.started_at and stage.finished_at:
        duration = round((stage.finished_at - stage.started_at).total_seconds(), 3)
    return {
        "position": stage.position,
        "name": stage.name,
        "title": stage.title,
        "state": stage.state,
        "detail": stage.detail,
        "started_at": _moment(stage.started_at),
        "finished_at": _moment(stage.finished_at),
        "duration_s": duration,
        "duration_s_label": "" if duration is None else f"{duration:.2f} s",
    }


def _moment(value: Any) -> str | None:
    return value.isoformat() if value else None
