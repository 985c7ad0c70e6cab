"""/v1: what the private listener offers, as a page without scripts, made from its OpenAPI document.

The usual pages load scripts from elsewhere into a page of this origin, which may ask for decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>extauthz: private listener</title>
<h1>extauthz: private listener</h1>
<p>The whole of it as an OpenAPI document: <a href="/v1/openapi.json">/v1/openapi.json</a></p>
<dl>
{operations}
</dl>
</html>
"""
# Nothing is loaded, nothing runs, and no other page may show this one in a frame.
_HEADERS = {"content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"}


def document_router(openapi: Callable[[], dict[str, Any]]) -> APIRouter:
    """Shows what `openapi` returns."""
    router = APIRouter()

    @router.get("/v1", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(render_page(openapi()), headers=_HEADERS)

    return router


def render_page(document: dict[str, Any]) -> str:
    """An OpenAPI document's operations as HTML."""
    return _PAGE.format(operations="\n".join(_operations(document)))


def _operations(document: dict[str, Any]) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            text = " ".join(operation.get("description", "").split())
            yield f"<dt><code>{escape(method.upper())} {escape(path)}</code></dt>"
            yield f"<dd>{escape(operation['summary'])}. {escape(text)}</dd>"
