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
    ParseError,
    PayloadTooLarge,
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
from durable_streams.client.reading import Reading
from durable_streams.client.request_fields import RequestField
from durable_streams.client.results import Appended, Created, Metadata
from durable_streams.client.retry import RetryPolicy
from durable_streams.client.timeouts import Timeouts

__all__ = [
    "Appended",
    "BadRequest",
    "Batch",
    "Batching",
    "ClientError",
    "Conflict",
    "ConnectionFailed",
    "Connections",
    "Created",
    "FileOffsetStore",
    "Forbidden",
    "IOffsetStore",
    "InvalidArgument",
    "Listed",
    "Listing",
    "LiveMode",
    "MemoryOffsetStore",
    "Metadata",
    "ParseError",
    "PayloadTooLarge",
    "Problem",
    "Producer",
    "ProducerBatch",
    "ProducerFenced",
    "ProducerSequenceGap",
    "ProducerStopped",
    "Reading",
    "Receipt",
    "RequestField",
    "ResponseError",
    "RetryPolicy",
    "ServerFailure",
    "StreamClosed",
    "StreamDirectory",
    "StreamGone",
    "StreamHandle",
    "StreamNotFound",
    "StreamSeqConflict",
    "TimedOut",
    "Timeouts",
    "TooManyRequests",
    "Unauthorized",
    "UnexpectedStatus",
]
