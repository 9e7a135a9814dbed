"""The control endpoint: the same operations over HTTP, for an emulator in another process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from .operations import GoogleOperations
from .routes import parse_query

CONTROL_ROOT = "/control/"


class ControlPanel:
    """Translates control requests into operations and their results into JSON."""

    def __init__(
        self, operations: GoogleOperations, *, service_account: Callable[[], dict[str, Any]]
    ) -> None:
        self._operations = operations
        self._views: dict[str, Callable[[], Any]] = {
            "state": operations.state,
            "objects": lambda: operations.objects,
            "classes": lambda: operations.classes,
            "faults": lambda: [fault.as_json() for fault in operations.faults],
            "callbacks": lambda: [callback.as_json() for callback in operations.callbacks],
            "service-account": service_account,
        }
        self._orders: dict[str, Callable[..., Any]] = {
            "faults": self._order_fault,
            "reset": operations.reset,
            "quota": operations.set_quota,
            "latency": operations.set_latency,
            "deny-issuer": operations.deny_issuer,
            "allow-issuer": operations.allow_issuer,
            "revoke-key": operations.revoke_key,
            "restore-key": operations.restore_key,
            "revoke-tokens": operations.revoke_tokens,
            "edit-object": lambda id, fields: operations.edit_object(id, **fields),
            "edit-class": lambda id, fields: operations.edit_class(id, **fields),
            "forget-object": lambda id: operations.forget_object(id),
            "forget-class": lambda id: operations.forget_class(id),
            "customer-saves": operations.customer_saves,
            "customer-removes": operations.customer_removes,
            "release-callbacks": operations.release_callbacks,
            "repeat-callbacks": operations.repeat_callbacks,
        }

    def handle(self, method: str, target: str, raw: bytes) -> web.Response:
        """Answer one control request."""
        path, _, query = target.partition("?")
        name, _, argument = path.removeprefix(CONTROL_ROOT).partition("/")
        try:
            result = self._result(method, name, argument, query, raw)
        except LookupError as error:
            return _json({"error": f"Not found: {error}"}, status=404)
        except (ValueError, TypeError) as error:
            return _json({"error": str(error)}, status=400)
        return _json(result)

    def _result(self, method: str, name: str, argument: str, query: str, raw: bytes) -> Any:
        if method == "GET" and name == "requests":
            return self._requests(**parse_query(query))
        if method == "GET":
            return self._views[name]()
        if method == "DELETE" and name == "faults":
            return self._heal(argument)
        if method == "POST":
            return self._orders[name](**(json.loads(raw) if raw else {}))
        raise LookupError(f"{method} {CONTROL_ROOT}{name}")

    def _order_fault(self, *, action: Any = "status", **order: Any) -> dict[str, Any]:
        return self._operations.misbehave(action, **order).as_json()

    def _heal(self, fault_id: str) -> None:
        if not fault_id:
            return self._operations.heal()
        wanted = [fault for fault in self._operations.faults if str(fault.id) == fault_id]
        return self._operations.heal(wanted[0])

    def _requests(
        self, *, kind: str | None = None, object_id: str | None = None, after: str = "0"
    ) -> list[dict[str, Any]]:
        return [
            entry.as_json()
            for entry in self._operations.requests[int(after) :]
            if kind in (None, entry.kind)
            and (object_id is None or (entry.kind, entry.resource_id) == ("object", object_id))
        ]


def _json(value: Any, *, status: int = 200) -> web.Response:
    return web.json_response(value, status=status)
