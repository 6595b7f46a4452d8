"""What stands before every route: who may ask, and headers that browsers keep to."""

import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clearsight.serve.problems import ProblemError, overloaded
from clearsight.serve.settings import Settings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
_BEARER = "bearer "
API = "/v1/"


class Guard:
    """ASGI middleware: refuses other hosts, other origins and a wrong token; adds `HEADERS`.

    The token is asked for below `/v1/` and for `/metrics`. Names of hosts are checked so that no
    page elsewhere can reach this service by a name of its own (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(Headers(scope=scope), scope["path"])
        except ProblemError as refused:
            await refused.response()(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def _check(self, headers: Headers, path: str) -> None:
        host = headers.get("host", "")
        if not self._is_ours(_name(host)):
            raise ProblemError(
                400, "Host: not a name of this service; `clearsight serve --name NAME` adds one"
            )
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host.lower():
            raise ProblemError(403, "Origin: pages of other sites may not use this service")
        token = self._settings.token
        if token is not None and (path.startswith(API) or path == "/metrics"):
            given = headers.get("authorization", "")
            borne = given[len(_BEARER) :].strip() if given.lower().startswith(_BEARER) else ""
            # On bytes, for text beyond ASCII can't be compared in constant time.
            if not hmac.compare_digest(borne.encode("utf-8"), token.encode("utf-8")):
                raise ProblemError(
                    401, "Authorization: expected `Bearer TOKEN`", {"WWW-Authenticate": "Bearer"}
                )

    def _is_ours(self, name: str | None) -> bool:
        if name is None:
            return False
        if name == "localhost" or name in self._settings.hosts:
            return True
        try:  # An address is no name that somebody else could point here.
            return ip_address(name).is_loopback or not self._settings.loopback
        except ValueError:
            return False


class Admission:
    """ASGI middleware that refuses what is asked of `/v1/` while `most` such requests are at work.

    It stands before the routes, for a refusal must cost less than an answer.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most, self._at_work = app, most, 0
        self._refusal = overloaded(
            f"{most:,} requests are at work; try again in a second"
        ).response()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self._app(scope, receive, send)
        elif self._at_work >= self._most:
            await self._refusal(scope, receive, send)
        else:
            self._at_work += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._at_work -= 1


def _netloc(origin: str) -> str | None:
    """`host:port` of an origin in lower case; None for `null` and other text."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") else None


def _name(host: str) -> str | None:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
