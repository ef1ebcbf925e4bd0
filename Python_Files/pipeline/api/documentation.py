"""The page at /docs, which reads the description of the API. All that it loads comes from this server."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

from pipeline.api.answers import Refusal

router = APIRouter(include_in_schema=False)

_SWAGGER = files("fastapi_offline") / "static"
_OWN = files("pipeline.api") / "assets"
_ASSETS = {
    "swagger-ui-bundle.js": (_SWAGGER, "text/javascript"),
    "swagger-ui.css": (_SWAGGER, "text/css"),
    "favicon.png": (_SWAGGER, "image/png"),
    "docs.js": (_OWN, "text/javascript"),
}
# Swagger UI writes styles into its elements; its scripts come from files alone.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/docs")
def read_documentation() -> Response:
    page = (_OWN / "docs.html").read_bytes()
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": _POLICY})


@router.get("/docs/assets/{name}")
def read_asset(name: str) -> Response:
    if name not in _ASSETS:
        raise Refusal(404, "there is no such file")
    place, kind = _ASSETS[name]
    return Response((place / name).read_bytes(), media_type=kind, headers={"Cache-Control": "max-age=3600"})
