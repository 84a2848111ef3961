"""``twistd durable-streams``: the options, and how they become a running server."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.plugin import getPlugins
from twisted.python import usage

from durable_streams.interfaces import IStorage, IStorageMaker
from durable_streams.server import Listener, StreamServer
from durable_streams.service import StreamService
from durable_streams.web.application import DEFAULT_PREFIX, StreamApplication
from durable_streams.web.limits import Limits
from durable_streams.web.settings import HttpSettings
from durable_streams.web.stock import StockSite

DEFAULT_LISTEN = "tcp:4437:interface=127.0.0.1"


def _seconds(value: str) -> float:
    with suppress(ValueError):
        if 0 < (seconds := float(value)) < 1e9:
            return seconds
    raise ValueError(f"{value!r} is not a number of seconds above 0")


def _count(value: str) -> int:
    with suppress(ValueError):
        if (count := int(value)) > 0:
            return count
    raise ValueError(f"{value!r} is not a whole number above 0")


class Options(usage.Options):
    """Command line of the plugin."""

    synopsis = "[options]"
    longdesc = "Serve durable streams over HTTP: append-only byte logs, each with a URL."

    optParameters = [  # noqa: RUF012  # the shape that usage.Options reads
        ["port", "p", None, "Shorthand for --listen tcp:PORT:interface=127.0.0.1."],
        ["tls-port", None, None, "Serve HTTPS (HTTP/1.1 and HTTP/2) on this port of all interfaces."],
        ["certificate", None, None, "PEM file with the certificate and its chain, for --tls-port."],
        ["private-key", None, None, "PEM file with the private key, for --tls-port [default: the certificate's file]."],
        ["prefix", None, DEFAULT_PREFIX, "URL path below which all streams are."],
        ["storage", "s", "local", "Where streams are kept; see below."],
        ["data-dir", "d", "durable-streams-data", "Directory of the local storage; one process at a time."],
        ["hot-bytes", None, 256 * 1024 * 1024, "Memory for recent bytes and active streams of local storage.", _count],
        ["long-poll-timeout", None, 30.0, "Seconds that a long-poll waits when the client names no time.", _seconds],
        ["sse-max-age", None, 60.0, "Seconds after which an SSE connection ends, so that clients reconnect.", _seconds],
        ["keep-alive", None, 15.0, "Seconds of silence after which an SSE connection gets a comment.", _seconds],
        ["max-append-bytes", None, 64 * 1024 * 1024, "Largest request body.", _count],
        [
            "max-read-bytes",
            None,
            1024 * 1024,
            "Most bytes in one answer; a larger JSON message still comes whole.",
            _count,
        ],
        ["log-format", None, "text", "text, or json: one object a line, to standard output."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []
        self["cors-origin"] = []

    def opt_listen(self, endpoint: str) -> None:
        """Endpoint to listen on, such as tcp:80, unix:/run/streams.sock, ssl:443:privateKey=key.pem:certKey=cert.pem or
        systemd:domain=INET:index=0. May be repeated. [default: tcp:4437:interface=127.0.0.1]"""
        self["listen"].append(endpoint)

    def opt_cors_origin(self, origin: str) -> None:
        """Web origin whose pages may use the service, such as https://app.example; * is all. May be repeated.
        [default: *]"""
        self["cors-origin"].append(origin)

    def getUsage(self, width: int | None = None) -> str:
        makers = "".join(f"\n    {maker.name:<10} {maker.help}" for maker in _storage_makers().values())
        return f"{super().getUsage(width)}\nStorages:{makers}\n"

    def postOptions(self) -> None:
        self["cors-origin"] = self["cors-origin"] or ["*"]
        self["endpoints"] = self._endpoints()
        self._check_prefix()
        self._choose_log_format()
        if self["storage"].partition(":")[0] not in _storage_makers():
            names = ", ".join(_storage_makers())
            raise usage.UsageError(f"--storage {self['storage']}: there is no such storage; there are: {names}")

    def _choose_log_format(self) -> None:
        if self["log-format"] not in ("text", "json"):
            raise usage.UsageError("--log-format must be text or json")
        twistd: Any = getattr(self, "parent", None)
        if self["log-format"] == "json" and twistd is not None:
            if not twistd.get("nodaemon"):
                raise usage.UsageError("--log-format json writes to standard output: run twistd with -n")
            twistd["logger"] = "durable_streams.log_lines.json_lines"

    def _check_prefix(self) -> None:
        prefix = self["prefix"]
        if not (prefix.isascii() and prefix.startswith("/") and prefix.endswith("/")) or set(prefix) & set(" ?#%<>"):
            raise usage.UsageError("--prefix must begin and end with a slash and have plain URL characters only")

    def _endpoints(self) -> list[tuple[str, IStreamServerEndpoint]]:
        descriptions = list(self["listen"])
        if self["port"] is not None:
            descriptions.append(f"tcp:{_port(self['port'], '--port')}:interface=127.0.0.1")
        if self["tls-port"] is not None:
            descriptions.append(self._tls_description())
        elif self["certificate"] is not None or self["private-key"] is not None:
            raise usage.UsageError("--certificate and --private-key need --tls-port")
        return [_endpoint(description) for description in descriptions or [DEFAULT_LISTEN]]

    def _tls_description(self) -> str:
        certificate = self["certificate"]
        if certificate is None:
            raise usage.UsageError("--tls-port needs --certificate")
        key = self["private-key"] or certificate
        quoted = [path.replace("\\", "\\\\").replace(":", "\\:") for path in (key, certificate)]
        return f"ssl:{_port(self['tls-port'], '--tls-port')}:privateKey={quoted[0]}:certKey={quoted[1]}"


def _port(value: str, option: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) < 65536):
        raise usage.UsageError(f"{option} must be a port number, not {value!r}")
    return int(value)


def _endpoint(description: str) -> tuple[str, IStreamServerEndpoint]:
    from twisted.internet import reactor

    scheme = "https" if description.startswith(("ssl:", "tls:")) else "http"
    try:
        return scheme, serverFromString(reactor, description)
    except Exception as error:  # endpoint parsers raise whatever their arguments make them raise
        reason = str(error) or type(error).__name__
        raise usage.UsageError(f"--listen {description}: {reason}") from None


def _storage_makers() -> dict[str, IStorageMaker]:
    import durable_streams.storage.plugins
    import twisted.plugins

    found = [*getPlugins(IStorageMaker, durable_streams.storage.plugins), *getPlugins(IStorageMaker, twisted.plugins)]
    return {maker.name: maker for maker in found}


def _storage(options: Options, clock: Any) -> IStorage:
    name, _, argument = options["storage"].partition(":")
    try:
        return _storage_makers()[name].make(argument, options, clock)
    except ValueError as error:
        raise usage.UsageError(f"--storage {options['storage']}: {error}") from None


def settings_from(options: Options) -> HttpSettings:
    """The HTTP settings that the options ask for."""
    return HttpSettings(
        long_poll_timeout=options["long-poll-timeout"],
        longest_long_poll=max(300.0, options["long-poll-timeout"]),
        sse_max_age=options["sse-max-age"],
        sse_keep_alive=options["keep-alive"],
        cors_origins=tuple(options["cors-origin"]),
        limits=Limits(body_bytes=options["max-append-bytes"]),
    )


def makeService(options: Options) -> IService:
    """The server that the options describe; nothing is opened before it starts."""
    from twisted.internet import reactor

    clock: Any = reactor
    service = StreamService(_storage(options, clock), clock=clock, max_read_bytes=options["max-read-bytes"])
    application = StreamApplication(service, settings_from(options), options["prefix"])
    site = StockSite(application.resource(), application.settings.limits, clock)
    listeners = [Listener(endpoint, scheme, site) for scheme, endpoint in options["endpoints"]]
    stop = partial(clock.callWhenRunning, clock.stop)
    return StreamServer(service, listeners, options["prefix"], application.drain, stop)
