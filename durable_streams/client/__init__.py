"""A client for durable streams, on treq. Begin with ``StreamHandle``."""

from durable_streams.client.batch import Batch
from durable_streams.client.connections import Connections
from durable_streams.client.directory import Listed, Listing, StreamDirectory
from durable_streams.client.errors import (
    BadRequest,
    ClientError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    InvalidArgument,
    OffsetTrimmed,
    ParseError,
    PayloadTooLarge,
    PreconditionFailed,
    Problem,
    ProducerFenced,
    ProducerSequenceGap,
    ProducerStopped,
    ResponseError,
    ServerFailure,
    StreamClosed,
    StreamGone,
    StreamNotFound,
    StreamSeqConflict,
    TimedOut,
    TooManyRequests,
    Unauthorized,
    UnexpectedStatus,
)
from durable_streams.client.handle import LiveMode, StreamHandle
from durable_streams.client.offset_store import (
    FileOffsetStore,
    IOffsetStore,
    MemoryOffsetStore,
)
from durable_streams.client.producer import Batching, Producer
from durable_streams.client.producer_batch import ProducerBatch, Receipt
from durable_streams.client.pull_wake_worker import PullWakeWorker
from durable_streams.client.reading import OnGap, Reading
from durable_streams.client.request_fields import RequestField
from durable_streams.client.results import Appended, Created, Metadata
from durable_streams.client.retry import RetryPolicy
from durable_streams.client.subscription import CreatedSubscription, SubscriptionHandle
from durable_streams.client.subscription_errors import (
    AlreadyClaimed,
    Fenced,
    NoPendingWork,
    SubscriptionExists,
    SubscriptionNotFound,
    TokenRefused,
    WebhookUrlRejected,
)
from durable_streams.client.subscription_results import PendingStream, SubscribedStream, Subscription
from durable_streams.client.timeouts import Timeouts
from durable_streams.client.wake_lease import ClaimedLease, WakeLease
from durable_streams.client.wake_session import Outcome, WakeSession, Work
from durable_streams.client.webhooks import DONE, SignatureRejected, WebhookVerifier, WebhookWake

__all__ = [
    "DONE",
    "AlreadyClaimed",
    "Appended",
    "BadRequest",
    "Batch",
    "Batching",
    "ClaimedLease",
    "ClientError",
    "Conflict",
    "ConnectionFailed",
    "Connections",
    "Created",
    "CreatedSubscription",
    "Fenced",
    "FileOffsetStore",
    "Forbidden",
    "IOffsetStore",
    "InvalidArgument",
    "Listed",
    "Listing",
    "LiveMode",
    "MemoryOffsetStore",
    "Metadata",
    "NoPendingWork",
    "OffsetTrimmed",
    "OnGap",
    "Outcome",
    "ParseError",
    "PayloadTooLarge",
    "PendingStream",
    "PreconditionFailed",
    "Problem",
    "Producer",
    "ProducerBatch",
    "ProducerFenced",
    "ProducerSequenceGap",
    "ProducerStopped",
    "PullWakeWorker",
    "Reading",
    "Receipt",
    "RequestField",
    "ResponseError",
    "RetryPolicy",
    "ServerFailure",
    "SignatureRejected",
    "StreamClosed",
    "StreamDirectory",
    "StreamGone",
    "StreamHandle",
    "StreamNotFound",
    "StreamSeqConflict",
    "SubscribedStream",
    "Subscription",
    "SubscriptionExists",
    "SubscriptionHandle",
    "SubscriptionNotFound",
    "TimedOut",
    "Timeouts",
    "TokenRefused",
    "TooManyRequests",
    "Unauthorized",
    "UnexpectedStatus",
    "WakeLease",
    "WakeSession",
    "WebhookUrlRejected",
    "WebhookVerifier",
    "WebhookWake",
    "Work",
]
