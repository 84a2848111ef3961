"""A page that shows the tokens of a language model, and survives everything.

Run it from the root of the repository with ``python -m examples.llm_streaming``; ``--help`` lists the options. With
``ANTHROPIC_API_KEY`` or ``OPENAI_API_KEY`` in the environment it asks those, else the demo provider answers.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

import treq
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.task import react
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.web.server import Site

from durable_streams.errors import StorageFailed
from durable_streams.service import StreamService
from durable_streams.storage.local import local_storage

from .answers import Answers
from .application import Application
from .providers import missing_keys, ready_providers


def options() -> Namespace:
    parser = ArgumentParser("python -m examples.llm_streaming", description="Tokens that survive a page refresh.")
    parser.add_argument(
        "--listen",
        default="tcp:8080:interface=127.0.0.1",
        help="where to listen, as a Twisted endpoint: tcp:8080 is every address of this machine (default: %(default)s)",
    )
    parser.add_argument(
        "--data-dir",
        default="llm-streaming-data",
        help="where the answers are kept (default: %(default)s)",
    )
    return parser.parse_args()


async def main(reactor: Any, chosen: Namespace) -> None:
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    try:
        endpoint = serverFromString(reactor, chosen.listen)
    except ValueError as error:
        raise SystemExit(f"--listen {chosen.listen}: {error}") from None
    streams = StreamService(local_storage(chosen.data_dir, reactor))
    answers = Answers(streams)
    providers = ready_providers(os.environ, reactor, treq)
    application = Application(streams, answers, providers, missing_keys(os.environ))

    streams.startService()
    reactor.addSystemEventTrigger("before", "shutdown", streams.stopService)
    reactor.addSystemEventTrigger("before", "shutdown", answers.stop)
    try:
        await streams.when_open()
        await answers.end_interrupted()
        port = await endpoint.listen(Site(application.app.resource()))
    except (StorageFailed, CannotListenError) as error:
        raise SystemExit(str(error)) from None
    reactor.addSystemEventTrigger("before", "shutdown", port.stopListening)

    print("providers:", ", ".join(f"{provider.label} ({provider.model})" for provider in providers), flush=True)
    scheme = "https" if chosen.listen.startswith(("ssl:", "tls:")) else "http"
    print(f"listening on {scheme}://127.0.0.1:{port.getHost().port}/", flush=True)
    await Deferred()


if __name__ == "__main__":
    react(lambda reactor, chosen: Deferred.fromCoroutine(main(reactor, chosen)), [options()])
