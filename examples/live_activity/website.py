"""The site: one page, a form to write, and the stream for everybody who looks at the page."""

from __future__ import annotations

import html
import time
from pathlib import Path
from string import Template
from typing import Any

from klein import Klein

from durable_streams.live import LiveListener
from durable_streams.service import StreamService
from durable_streams.web.resource import StreamResource

from .board import SHOWN, Board

ACTIVITY = "activity"
LONGEST = {"who": 40, "what": 200}

FILES = Path(__file__).parent / "page"
TYPES = {".css": "text/css", ".js": "text/javascript"}


class Website:
    """Makes the page from the board; the page goes on from the listener's offset."""

    app = Klein()

    def __init__(self, streams: StreamService, board: Board, listener: LiveListener) -> None:
        self._streams = streams
        self._board = board
        self._listener = listener
        self._mounted = StreamResource(streams)
        self._page = Template((FILES / "index.html").read_text())
        self._files = {path.name: path.read_bytes() for path in FILES.iterdir() if path.suffix in TYPES}

    @app.route("/", methods=["GET", "HEAD"])
    def page(self, request: Any) -> bytes:
        request.setHeader("Content-Type", "text/html; charset=utf-8")
        request.setHeader("Cache-Control", "no-store")
        request.setHeader("Content-Security-Policy", "default-src 'self'; img-src data:; frame-ancestors 'none'")
        return self._page.substitute(
            entries="\n".join(map(_entry, reversed(self._board.newest))),
            total=self._board.total,
            shown=SHOWN,
            offset=html.escape(self._listener.offset),
            stream=f"/streams/{ACTIVITY}",
        ).encode()

    @app.route("/page/<name>", methods=["GET", "HEAD"])
    def file(self, request: Any, name: str) -> bytes:
        if name not in self._files:
            request.setResponseCode(404)
            return b"There is no such file.\n"
        request.setHeader("Content-Type", TYPES[Path(name).suffix] + "; charset=utf-8")
        return self._files[name]

    @app.route("/", methods=["POST"])
    async def write(self, request: Any) -> bytes:
        entry: dict[str, Any] = {field: _field(request, field) for field in LONGEST}
        if all(entry.values()):
            await self._streams.append_json(ACTIVITY, {**entry, "at": int(time.time())})
        # Without JavaScript this shows the page again, which has the entry by now.
        request.redirect("/")
        request.setResponseCode(303)
        return b""

    @app.route("/streams/", methods=["GET", "HEAD"], branch=True)
    def streams(self, request: Any) -> StreamResource:
        """Visitors read the stream; only this application writes it."""
        return self._mounted


def _field(request: Any, name: str) -> str:
    written: bytes = request.args.get(name.encode(), [b""])[0]
    return written.decode("utf-8", "replace").strip()[: LONGEST[name]]


def _entry(entry: dict[str, Any]) -> str:
    who, what = html.escape(entry["who"]), html.escape(entry["what"])
    clock = time.strftime("%H:%M:%S UTC", time.gmtime(entry["at"]))
    return f"<li><b>{who}</b> <span>{what}</span> <time>{clock}</time></li>"
