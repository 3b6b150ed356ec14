"""Which resource a request asks for, by method and path.

Lives here: ResourceRoutes. A path that is written out goes before one with a placeholder.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from greenflow.admin.declaring import Resource
from greenflow.admin.problem import Problem

#: Bytes of a path: a name in it is no longer than a spec allows.
LONGEST_PATH = 4096


class ResourceRoutes:
    """The resources, by their paths."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._fixed: dict[tuple[str, ...], dict[str, Resource]] = {}
        self._open: list[tuple[tuple[str, ...], dict[str, Resource]]] = []
        for resource in resources:
            self._methods(resource.segments)[resource.method] = resource

    def _methods(self, segments: tuple[str, ...]) -> dict[str, Resource]:
        if not any(segment.startswith("{") for segment in segments):
            return self._fixed.setdefault(segments, {})
        for known, methods in self._open:
            if known == segments:
                return methods
        self._open.append((segments, {}))
        return self._open[-1][1]

    def find(self, method: str, path: str) -> tuple[Resource, dict[str, str]]:
        """The resource, and what stands in the place of its placeholders. Raises Problem."""
        if len(path) > LONGEST_PATH:
            raise Problem(404, "nothing has so long a path")
        segments = tuple(path.removeprefix("/").split("/"))
        methods = self._fixed.get(segments)
        if methods is not None:
            return self._of(methods, method), {}
        for known, methods in self._open:
            if len(known) == len(segments) and all(
                ours == theirs or ours.startswith("{")
                for ours, theirs in zip(known, segments, strict=True)
            ):
                resource = self._of(methods, method)
                return resource, {
                    ours[1:-1]: _decoded(theirs)
                    for ours, theirs in zip(known, segments, strict=True)
                    if ours.startswith("{")
                }
        raise Problem(404, "there is no such resource: GET /api/v1/openapi.json lists them")

    def _of(self, methods: dict[str, Resource], method: str) -> Resource:
        resource = methods.get("GET" if method == "HEAD" else method)
        if resource is None:
            allowed = ", ".join([*methods, "HEAD"] if "GET" in methods else methods)
            raise Problem(405, f"this resource knows {allowed}", [("Allow", allowed)])
        return resource


def _decoded(segment: str) -> str:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise Problem(404, "the path is no UTF-8") from None
