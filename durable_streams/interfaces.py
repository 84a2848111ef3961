"""The seams of the service: where bytes are kept, and how readers and applications are told.

``durable_streams.testing`` has the suites that every storage and every notifier must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from durable_streams.measures import Measure, Timing
from durable_streams.protocol.commands import Append, Command, Create, Delete
from durable_streams.protocol.results import (
    AppendResult,
    CreateResult,
    Page,
    Slice,
    StreamDescription,
)


class IStorage(Interface):
    """Keeps streams.

    Every command is decided by the rules in ``durable_streams.protocol`` and takes effect whole or not at all. Commands
    for one stream take effect in the order of the calls. A Deferred fires only when its effect is as durable as
    ``durability`` says, and nobody sees an effect before that. Cancelling the Deferred of a command stops the waiting,
    not the command. An expired stream is no longer there, even when nobody has looked for a while.

    Besides the errors named below, any member may fail with ``StorageUnavailable`` (nothing changed, try again) or
    ``StorageFailed`` (an operator must look).
    """

    durability: str = Attribute("One short sentence for people: what survives what.")

    def announce_to(performed: Callable[[Command, Any], object]) -> None:
        """Call ``performed`` with every command that takes effect, and with its result.

        That is when the effect can be seen and just before the command's Deferred fires, also when nobody waits for
        that any more; in the order of the effects on each stream. A command that changes nothing is not told of.
        ``performed`` never raises. There is one; a later call replaces it.
        """

    def open() -> Deferred[str]:
        """Make ready. Called once, before any other member but ``announce_to``.

        Fires with one line that tells an operator what was found. Fails with ``StorageFailed`` when the kept data
        cannot be trusted, naming file and position.
        """

    def close() -> Deferred[None]:
        """Finish what was accepted and release everything. Called once, after the last command."""

    def failure() -> str | None:
        """Why writes are refused for good, or None while all is well. May be called at any time."""

    def create(command: Create) -> Deferred[CreateResult]:
        """Create a stream, or confirm that it exists as described. May be repeated.

        Fails with ``StreamConflict``, ``StreamNotFound`` (the source of a fork), ``ForkSourceGone``,
        ``ContentTypeMismatch``, ``ForkBeyondTail``, ``ForkInsideMessage``, ``ForkSubOffsetBeyond``,
        ``OffsetTrimmed`` (the fork offset) or ``InvalidMessages``.
        """

    def append(command: Append) -> Deferred[AppendResult]:
        """Append, close, or both in one step. Counts as an access. May be repeated safely only with a producer.

        Fails with ``StreamNotFound``, ``StreamGone``, ``StreamIsClosed``, ``ContentTypeMismatch``, ``InvalidMessages``,
        ``EmptyAppend``, ``PreconditionFailed``, ``StreamSeqRegression``, ``ProducerFenced``, ``ProducerSequenceGap`` or
        ``ProducerEpochStart``.
        """

    def delete(command: Delete) -> Deferred[None]:
        """Delete a stream; one that forks still need is only soft-deleted.

        A repetition fails: with ``StreamNotFound``, or ``StreamGone`` when soft-deleted.
        """

    def describe(path: str) -> Deferred[StreamDescription]:
        """What the stream at ``path`` is. Not an access. Fails with ``StreamNotFound`` or ``StreamGone``."""

    def read(path: str, position: int | None, limit: int) -> Deferred[Slice]:
        """Up to ``limit`` stored bytes from ``position`` on; None is the tail, ``EARLIEST`` (see
        ``protocol.offsets``) is where the stream begins now. Counts as an access.

        The slice may end anywhere, also within a message, and may be shorter than ``limit`` though more follows; it is
        empty only at the tail. Fails with ``StreamNotFound``, ``StreamGone``, ``OffsetBeyondTail`` or, where the
        stream's retention has dropped what was at ``position``, ``OffsetTrimmed``. What is too old is never seen, even
        when nobody has looked for a while. Forks keep what they have inherited.
        """

    def list_streams(prefix: str, after: str, limit: int) -> Deferred[Page]:
        """Streams whose path begins with ``prefix``, in the order of paths, beginning behind ``after``.

        Soft-deleted and expired streams are left out. Not an access.
        """

    def expire() -> Deferred[list[str]]:
        """Remove the streams that have expired by now, and give back the room of what is too old in others.

        Called from time to time.

        Fires with the paths of those that went since the last call, whether removed now or found expired by another
        member.
        """

    def keep(path: str) -> None:
        """Count a live reader as an access of the stream at ``path``, even one whose time has just come.

        Nothing happens when there is no such stream.
        """


class INotifier(Interface):
    """Tells those who follow a stream that it has changed.

    A notice is a hint, without content: whoever gets one reads again. Notices may be merged or be too many, but after
    a change that was notified, every subscriber is called at least once.
    """

    def notify(path: str) -> None:
        """The stream at ``path`` has new bytes, was closed, deleted, or created. Never raises."""

    def subscribe(path: str, changed: Callable[[], None]) -> Callable[[], None]:
        """Call ``changed`` after each change of the stream at ``path``, whether or not it exists now.

        Returns what ends the subscription; that may be called again without effect. A ``changed`` that raises is
        logged and harms no other.
        """

    def followed() -> Collection[str]:
        """The paths that have subscribers here."""


class IStreamObserver(Interface):
    """Is told of every change that this process made durable, in the order of the changes of each stream.

    Every member is called before the command's own Deferred fires, on the reactor, and must return quickly. One that
    raises is logged and harms nothing.
    """

    def stream_created(command: Create, stream: StreamDescription) -> None:
        """``command`` made ``stream``; one that only confirmed a stream is not told of."""

    def stream_appended(path: str, result: AppendResult) -> None:
        """The stream at ``path`` has new bytes, was closed, or both; duplicates are not told of."""

    def stream_deleted(path: str) -> None:
        """The stream at ``path`` was deleted, or soft-deleted."""

    def stream_expired(path: str) -> None:
        """A stream at ``path`` has expired some time ago. Another one may be there by now."""


class IMeasured(Interface):
    """A storage that tells figures about itself. It need not."""

    def measures() -> Sequence[Measure | Timing]:
        """Its figures of now. Called at every scrape, so it costs no more than looking at them."""


class IStorageMaker(IPlugin):
    """A storage that can be named on the command line: ``--storage NAME``.

    Provide it from a module in the ``durable_streams.storage.plugins`` or ``twisted.plugins`` package.
    """

    name: str = Attribute("The word after --storage.")
    help: str = Attribute("One line for --help.")

    def make(argument: str, options: Mapping[str, Any], clock: IReactorTime) -> IStorage:
        """A storage that is not open yet.

        ``argument`` is what follows ``NAME:`` on the command line, or empty; ``options`` are the service's parsed
        options; ``clock`` tells the time. Raises ``ValueError`` with one clear sentence when it cannot be made.
        """
