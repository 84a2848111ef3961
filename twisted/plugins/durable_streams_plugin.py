"""Makes ``twistd durable-streams`` known; imports neither Klein nor a reactor."""

from twisted.application.service import ServiceMaker

durable_streams = ServiceMaker(
    "Durable streams",
    "durable_streams.tap",
    "Serve durable streams over HTTP.",
    "durable-streams",
)
