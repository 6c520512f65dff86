"""The table of inference doors: which method and path leads to which operation, and who may enter.

Doors are declared on a ninja router, which makes the OpenAPI document of them; requests reach them by
an exact look-up here, before Django's resolver. A door has no default for who may enter.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.http import HttpRequest
from ninja import Router

from gateway_project.api.exchange import Exchange
from gateway_project.core.errors import NotFound

PUBLIC = "public"
Operation = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Door:
    """One operation at one path. `access` is PUBLIC or the scope that a key needs.

    `exchange_type` is how requests are answered: in OpenAI's form, or in another vendor's.
    """

    method: str
    path: str
    access: str
    operation: Operation
    exchange_type: type[Exchange] = Exchange

    def route(self, params: dict[str, str]) -> str:
        """The path as access rules see it, with the values in place: `/v1/models/openai/gpt-5`."""
        prefix, brace, name = self.path.partition("{")
        return prefix + params[name[:-1]] if brace else self.path


class Match(NamedTuple):
    """What a path leads to: the operations by method, and the parts of the path that are values."""

    methods: dict[str, Door]
    params: dict[str, str]
    exchange_type: type[Exchange] = Exchange


_PATH_PARAMETER = re.compile(r"{(\w+)}")
_DEPLOYMENT = re.compile(r"/(?:openai/)?(?:deployments|engines)/(.+)")
# The longest path of a door, such as chat/completions, in parts.
_MAX_PARTS = 3


class DoorTable:
    """All doors, found by path in one or two dictionary look-ups."""

    def __init__(self) -> None:
        self.static: dict[str, dict[str, Door]] = {}
        self.prefixes: dict[str, tuple[str, dict[str, Door]]] = {}

    def add(self, door: Door) -> None:
        """Register a door; a path that ends in `{name}` takes the whole rest, slashes included."""
        prefix, brace, name = door.path.partition("{")
        if brace:
            methods = self.prefixes.setdefault(prefix, (name[:-1], {}))[1]
        else:
            methods = self.static.setdefault(door.path, {})
        if door.method in methods:
            raise ValueError(f"{door.method} {door.path} is declared twice")
        methods[door.method] = door

    def all(self) -> list[Door]:
        """Every door, for tests and documentation."""
        tables = [*self.static.values(), *(methods for _, methods in self.prefixes.values())]
        return [door for methods in tables for door in methods.values()]

    def find(self, path: str) -> Match | None:
        """The doors at a path, in any of the spellings that clients use; None if it is no door."""
        methods = self.static.get(path)
        if methods is not None:
            return _match(methods, {})
        bare = path.rstrip("/")
        found = self._find_exact(bare) or self._find_spelling(bare)
        if found is None and "//" in bare:
            # A base URL that ends in a slash, and a client that begins its paths with one.
            return self.find(bare.replace("//", "/"))
        return found

    def _find_exact(self, path: str) -> Match | None:
        methods = self.static.get(path)
        if methods is not None:
            return _match(methods, {})
        for prefix, (name, prefixed) in self.prefixes.items():
            if path.startswith(prefix) and len(path) > len(prefix):
                return _match(prefixed, {name: path[len(prefix) :]})
        return None

    def _find_spelling(self, path: str) -> Match | None:
        """Without `/v1`, with it twice, or as Azure writes it."""
        if path.startswith("/v1/v1/"):
            return self._find_exact(path[3:])
        bare = path.removeprefix("/v1")
        deployment = _DEPLOYMENT.fullmatch(bare)
        if deployment is not None:
            return self._find_deployment(deployment[1].split("/"))
        return self._find_exact("/v1" + path) if not path.startswith("/v1/") else None

    def _find_deployment(self, parts: list[str]) -> Match | None:
        """A model, whose name may have slashes, and then the longest path that a door has."""
        for at in range(max(1, len(parts) - _MAX_PARTS), len(parts)):
            methods = self.static.get("/v1/" + "/".join(parts[at:]))
            if methods is not None and (model := "/".join(parts[:at])):
                return _match(methods, {"model": model})
        return None


def _match(methods: dict[str, Door], params: dict[str, str]) -> Match:
    return Match(methods, params, next(iter(methods.values())).exchange_type)


table = DoorTable()


def door(
    router: Router,
    method: str,
    path: str,
    *,
    access: str,
    exchange_type: type[Exchange] = Exchange,
    **documentation: Any,
) -> Callable[[Operation], Operation]:
    """Declare an operation at a path, in the table and in the router's OpenAPI document."""

    if access != PUBLIC:
        security: dict[str, Any] = {"security": [{"BearerAuth": []}, {"ApiKeyAuth": []}]}
        documentation["openapi_extra"] = {**security, **documentation.get("openapi_extra", {})}

    def declare(operation: Operation) -> Operation:
        table.add(Door(method, path, access, operation, exchange_type))
        router.add_api_operation(path, [method], _described(operation, path), **documentation)
        return operation

    return declare


def _described(operation: Operation, path: str) -> Callable[..., object]:
    """What ninja reads name, text and path parameters from; requests never come this way."""

    def view(request: HttpRequest, **path_params: str) -> None:
        raise NotFound("Inference doors are served by the lean handler.")

    names = ["request", *_PATH_PARAMETER.findall(path)]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind, annotation=str) for name in names])
    setattr(view, "__signature__", signature)  # noqa: B010  (functions have no such attribute for the type checker)
    view.__name__, view.__module__, view.__doc__ = operation.__name__, operation.__module__, operation.__doc__
    return view
