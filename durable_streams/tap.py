"""``twistd durable-streams``: the options, and how they become a running server."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.plugin import getPlugins
from twisted.python import usage

from durable_streams.interfaces import IStorage, IStorageMaker
from durable_streams.process import Process
from durable_streams.protocol.retention import NO_LIMITS, Retention
from durable_streams.server import Listener, StreamServer
from durable_streams.service import StreamService
from durable_streams.subscriptions.local import local_subscriptions, memory_subscriptions
from durable_streams.subscriptions.service import SubscriptionService
from durable_streams.subscriptions.settings import SubscriptionSettings
from durable_streams.web.application import DEFAULT_PREFIX, StreamApplication
from durable_streams.web.channels import CHANNELS
from durable_streams.web.eager import EagerEndpoint
from durable_streams.web.limits import Limits
from durable_streams.web.settings import HttpSettings

DEFAULT_LISTEN = "tcp:4437:interface=127.0.0.1"

_SECONDS = ("long-poll-timeout", "sse-max-age", "keep-alive")
_LIMITS = ("retention-max-age", "retention-max-messages", "retention-max-bytes")
_COUNTS = ("hot-bytes", "max-append-bytes", "max-read-bytes")
_PREFIX = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]+/)*", re.ASCII)
_PUBLIC_URL = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?/", re.ASCII)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.\-]*://[^\s/?#@]+", re.ASCII)


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
        ["hot-bytes", None, 256 * 1024 * 1024, "Memory for recent bytes and active streams of local storage."],
        ["long-poll-timeout", None, 30.0, "Seconds that a long-poll waits when the client names no time."],
        ["sse-max-age", None, 60.0, "Seconds after which an SSE connection ends, so that clients reconnect."],
        ["keep-alive", None, 15.0, "Seconds of silence after which an SSE connection gets a comment."],
        ["max-append-bytes", None, 64 * 1024 * 1024, "Largest request body."],
        ["max-read-bytes", None, 1024 * 1024, "Most bytes in one answer; a larger JSON message still comes whole."],
        ["retention-max-age", None, None, "Drop what is so many seconds old, from streams that name no limits."],
        ["retention-max-messages", None, None, "Keep so many messages at most, in streams that name no limits."],
        ["retention-max-bytes", None, None, "Keep so many bytes at most, in streams that name no limits."],
        ["http-channel", None, "lean", "lean, or stock: our own HTTP/1.1 channel, or Twisted's; HTTP/2 is Twisted's."],
        ["cache-scope", None, "public", "public, or private: whether shared caches may keep what is read."],
        ["log-format", None, "text", "text, or json: one object a line, to standard output."],
        [
            "public-url",
            None,
            None,
            "URL of the stream root as clients see it, such as https://streams.example/v1/stream/: where webhook "
            "receivers call back. [default: as the client of a subscription wrote it]",
        ],
    ]
    optFlags = [  # noqa: RUF012  # the shape that usage.Options reads
        ["enable-listing", None, "Let clients list the streams, at __ds/streams below the prefix."],
        ["metrics", None, "Let clients read the service's figures at /metrics, in the form of Prometheus."],
        ["allow-loopback-webhooks", None, "Let webhooks go to this machine over http, for development."],
    ]

    made_storage: IStorage

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
        for name in _SECONDS:
            self[name] = _seconds(self[name], f"--{name}")
        for name in _LIMITS:
            if self[name] is not None:
                self[name] = _count(self[name], f"--{name}")
        for name in _COUNTS:
            self[name] = _count(self[name], f"--{name}")
        self._check_choice("http-channel", ("lean", "stock"))
        self._check_choice("cache-scope", ("public", "private"))
        self._check_choice("log-format", ("text", "json"))
        self._check_prefix()
        self._check_origins()
        self._check_public_url()
        self._check_metrics()
        self["endpoints"] = self._endpoints()
        self.made_storage = _storage(self)
        self._choose_log_format()

    def _check_choice(self, name: str, choices: tuple[str, str]) -> None:
        if self[name] not in choices:
            raise usage.UsageError(f"--{name} must be {' or '.join(choices)}, not {self[name]!r}")

    def _choose_log_format(self) -> None:
        twistd: Any = getattr(self, "parent", None)
        if self["log-format"] == "json" and twistd is not None:
            if not twistd["nodaemon"] or twistd["logfile"]:
                raise usage.UsageError(
                    "--log-format json writes to standard output: run twistd with -n and no --logfile"
                )
            # By name, because that is how twistd wants it.
            twistd["logger"] = "durable_streams.log_lines.json_lines"

    def _check_prefix(self) -> None:
        if not _PREFIX.fullmatch(self["prefix"]):
            raise usage.UsageError("--prefix must begin and end with a slash and have plain URL characters only")

    def _check_metrics(self) -> None:
        if not self["metrics"]:
            return
        if self["prefix"] == "/":
            raise usage.UsageError("--metrics needs a --prefix: with / alone, /metrics is the path of a stream")
        if find_spec("prometheus_client") is None:
            raise usage.UsageError("--metrics needs a library: pip install 'durable-streams-twisted[metrics]'")

    def _check_public_url(self) -> None:
        if self["public-url"] is not None and not _PUBLIC_URL.fullmatch(self["public-url"]):
            raise usage.UsageError("--public-url must be like https://streams.example/v1/stream/, with a final slash")

    def _check_origins(self) -> None:
        for origin in self["cors-origin"]:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise usage.UsageError(f"--cors-origin {origin}: must be * or like https://app.example, without a path")
        self["cors-origin"] = self["cors-origin"] or ["*"]

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
        _check_readable(certificate, "--certificate")
        _check_readable(key, "--private-key")
        quoted = [path.replace("\\", "\\\\").replace(":", "\\:") for path in (key, certificate)]
        return f"ssl:{_port(self['tls-port'], '--tls-port')}:privateKey={quoted[0]}:certKey={quoted[1]}"


def _seconds(value: str | float, option: str) -> float:
    with suppress(ValueError):
        if 0 < (seconds := float(value)) < 1e9:
            return seconds
    raise usage.UsageError(f"{option} must be a number of seconds above 0, not {value!r}")


def _count(value: str | int, option: str) -> int:
    with suppress(ValueError):
        if (count := int(value)) > 0:
            return count
    raise usage.UsageError(f"{option} must be a whole number above 0, not {value!r}")


def _check_readable(path: str, option: str) -> None:
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise usage.UsageError(f"{option} {path}: {error.strerror}") from None


def _port(value: str, option: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) < 65536):
        raise usage.UsageError(f"{option} must be a port number, not {value!r}")
    return int(value)


def _endpoint(description: str) -> tuple[str, IStreamServerEndpoint]:
    from twisted.internet import reactor

    scheme = "https" if description.startswith(("ssl:", "tls:")) else "http"
    try:
        return scheme, EagerEndpoint(serverFromString(reactor, description))
    except Exception as error:  # endpoint parsers raise whatever their arguments make them raise
        reason = str(error) or type(error).__name__
        if description.startswith("systemd:"):
            reason = "systemd has passed on no such socket"
        raise usage.UsageError(f"--listen {description}: {reason}") from None


def _storage_makers() -> dict[str, IStorageMaker]:
    import durable_streams.storage.plugins
    import twisted.plugins

    found = [*getPlugins(IStorageMaker, durable_streams.storage.plugins), *getPlugins(IStorageMaker, twisted.plugins)]
    return {maker.name: maker for maker in found}


def _storage(options: Options) -> IStorage:
    from twisted.internet import reactor

    clock: Any = reactor
    name, _, argument = options["storage"].partition(":")
    makers = _storage_makers()
    if name not in makers:
        names = ", ".join(makers)
        raise usage.UsageError(f"--storage {options['storage']}: there is no such storage; there are: {names}")
    try:
        return makers[name].make(argument, options, clock)
    except ValueError as error:
        raise usage.UsageError(f"--storage {options['storage']}: {error}") from None


def _subscriptions(options: Options, service: StreamService, clock: Any) -> SubscriptionService:
    """Subscriptions are kept beside the streams, or in memory like them."""
    storage, _, argument = options["storage"].partition(":")
    allow_loopback = bool(options["allow-loopback-webhooks"])
    settings = SubscriptionSettings(public_url=options["public-url"])
    if storage == "memory":
        return memory_subscriptions(service, clock, allow_loopback_webhooks=allow_loopback, settings=settings)
    directory = argument if storage == "local" and argument else options["data-dir"]
    return local_subscriptions(service, directory, clock, allow_loopback_webhooks=allow_loopback, settings=settings)


def retention_from(options: Options) -> Retention | None:
    """What streams keep that are created without limits of their own; None is everything."""
    max_age, max_messages, max_bytes = (options[name] for name in _LIMITS)
    retention = Retention(max_age, max_messages, max_bytes)
    return None if retention.limits == NO_LIMITS.limits else retention


def settings_from(options: Options) -> HttpSettings:
    """The HTTP settings that the options ask for."""
    return HttpSettings(
        long_poll_timeout=options["long-poll-timeout"],
        longest_long_poll=max(300.0, options["long-poll-timeout"]),
        sse_max_age=options["sse-max-age"],
        sse_keep_alive=options["keep-alive"],
        cache_scope=options["cache-scope"],
        cors_origins=tuple(options["cors-origin"]),
        listing=bool(options["enable-listing"]),
        metrics=bool(options["metrics"]),
        limits=Limits(body_bytes=options["max-append-bytes"]),
    )


def makeService(options: Options) -> IService:
    """The server that the options describe; nothing is opened before it starts."""
    from twisted.internet import reactor

    clock: Any = reactor
    service = StreamService(
        options.made_storage, clock=clock, max_read_bytes=options["max-read-bytes"], retention=retention_from(options)
    )
    subscriptions = _subscriptions(options, service, clock)
    application = StreamApplication(service, settings_from(options), options["prefix"], subscriptions)
    channel = CHANNELS[options["http-channel"]]
    factories = {scheme: channel(application, scheme, clock) for scheme in ("http", "https")}
    listeners = [Listener(endpoint, scheme, factories[scheme]) for scheme, endpoint in options["endpoints"]]
    return StreamServer(service, listeners, options["prefix"], Process(clock), attendants=[subscriptions])
