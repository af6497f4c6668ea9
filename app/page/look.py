"""What the page looks like beyond its theme, and files that are dropped anywhere on it.

Both stand in the document itself: a style sheet that came with the page's first elements would move
what the browser has drawn by then. They are its last lines, since of rules that weigh the same the
last one counts, and Streamlit adds its own to the head.
"""

from __future__ import annotations

from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SIDE_BAR_PX = 330
"""How wide the side bar begins."""

_FOLDER = Path(__file__).parent
_LOOK = "<style>{}</style><script>{}</script></body>".format(
    (_FOLDER / "look.css").read_text().replace("SIDE_BAR_PX", f"{SIDE_BAR_PX}px"),
    (_FOLDER / "drop.js").read_text(),
).encode()
# A document of another length than its file's cannot be sent in parts, compressed by those
# behind, or as "not modified": the file stays the same when the look changes.
_OF_THE_FILE = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")


class WithLook:
    """The web application with the style sheet and the script in every document."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; what is no document goes through as it is."""
        if scope["type"] != "http" or "text/html" not in Headers(scope=scope).get("accept", ""):
            await self._app(scope, receive, send)
            return
        kept = [pair for pair in scope["headers"] if pair[0] not in _OF_THE_FILE]
        answer = _Document(send)
        await self._app({**scope, "headers": kept}, receive, answer.send)


class _Document:
    """An answer that is held back until it is whole, if it is a document."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kind = Headers(raw=message["headers"]).get("content-type", "")
            if kind.startswith("text/html"):
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            await self._send_whole(self._start)
            return
        await self._send(message)

    async def _send_whole(self, start: Message) -> None:
        body = self._body.replace(b"</body>", _LOOK, 1)
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["content-length"] = str(len(body))
        for name in ("etag", "last-modified"):
            if name in headers:
                del headers[name]
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})
