"""One signed-in connection to NocoDB, and which of its answers pass and which never will."""

from __future__ import annotations

from typing import Any

import httpx

from pipeline.errors import PassingFault, PipelineError
from pipeline.settings import Settings


class Refused(PipelineError):
    """NocoDB refuses a request for good."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__("NocoDB refuses a request", detail=f"{status} {error}: {message}")
        self.status = status
        self.error = error
        self.reason = message


# PostgreSQL's classes of errors that say that the data is wrong: invalid values, and violated constraints.
_DATA_CLASSES = ("22", "23")


class Client:
    """Requests to NocoDB as its administrator.

    It signs in when first needed and again when the token has run out, so nothing secret is kept on disk, and an older
    NocoDB database that was restored is no obstacle. Raises PassingFault when NocoDB or its database does not answer,
    Refused when the answer will never be another.
    """

    def __init__(self, settings: Settings) -> None:
        self._credentials = {"email": settings.nocodb_admin_email, "password": settings.nocodb_admin_password}
        self._http = httpx.Client(
            base_url=settings.nocodb_url,
            # Never through a proxy: it is this machine, or the next container.
            trust_env=False,
            timeout=httpx.Timeout(60.0, connect=5.0),
        )

    def call(self, method: str, path: str, **given: Any) -> Any:
        """The decoded JSON of the answer."""
        if "xc-auth" not in self._http.headers:
            self._sign_in()
        answer = self._request(method, path, **given)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._sign_in()
            answer = self._request(method, path, **given)
        return _content(answer)

    def every(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        """The whole of a short list, such as bases or views."""
        listed: list[dict[str, Any]] = self.call("GET", path, params=parameters)["list"]
        return listed

    def _sign_in(self) -> None:
        self._http.headers.pop("xc-auth", None)
        answer = self._request("POST", "/api/v1/auth/user/signin", json=self._credentials)
        if answer.status_code in (httpx.codes.BAD_REQUEST, httpx.codes.UNAUTHORIZED):
            detail = _told(answer)[1]
            # With its database away NocoDB answers in the same way as to a wrong password.
            raise PassingFault(
                "NocoDB does not sign the administrator in",
                detail=detail,
                hint="If the password was changed in NocoDB, write it into .env as NOCODB_ADMIN_PASSWORD.",
            )
        self._http.headers["xc-auth"] = str(_content(answer)["token"])

    def _request(self, method: str, path: str, **given: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **given)
        except httpx.HTTPError as error:
            raise PassingFault("NocoDB does not answer", detail=f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        self._http.close()


def _told(answer: httpx.Response) -> tuple[str, str, str]:
    """Error, message and SQL code of an answer, as far as it tells them."""
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    message = str(body.get("message") or body.get("msg") or answer.text[:200])
    return str(body.get("error") or answer.reason_phrase), message, str(body.get("code") or "")


def _content(answer: httpx.Response) -> Any:
    if answer.status_code < httpx.codes.BAD_REQUEST:
        try:
            return answer.json()
        except ValueError as fault:
            # While it starts, every address answers with a page.
            raise PassingFault("NocoDB answers with something else than JSON", detail=answer.text[:100]) from fault
    error, message, code = _told(answer)
    starting = answer.status_code == httpx.codes.NOT_FOUND and "html" in answer.headers.get("content-type", "")
    database = error == "ERR_DATABASE_OP_FAILED" and not code.startswith(_DATA_CLASSES)
    if answer.is_server_error or starting or database or answer.status_code in (401, 408, 429):
        raise PassingFault("NocoDB could not do it now", detail=f"{answer.status_code} {error}: {message}")
    raise Refused(answer.status_code, error, message)
