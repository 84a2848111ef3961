-- The base store: all that has been folded out of the journal.

create table progress (
    only_row integer primary key check (only_row = 1),
    folded_segment integer not null,   -- the journal up to this segment is in here
    last_stream_id integer not null    -- ids up to this one have been given away
);

insert into progress values (1, 0, 0);

create table streams (
    stream_id integer primary key,
    path text not null unique,
    content_type text not null,
    ttl integer,
    expires_at real,
    created_at real not null,
    accessed_at real not null,
    deadline real,                     -- when it expires by what is known here
    fork blob,                         -- ForkPoint as MessagePack
    tail integer not null,
    closed integer not null,
    closed_by blob,                    -- ProducerClaim as MessagePack
    stream_seq text,
    forks integer not null,
    soft_deleted integer not null
);

create index streams_by_deadline on streams (deadline) where deadline is not null;

create table producers (
    stream_id integer not null,
    producer_id text not null,
    epoch integer not null,
    last_seq integer not null,
    primary key (stream_id, producer_id)
) without rowid;

-- The bytes of streams, written in the order of arrival so that pages fill up.
create table data (
    data_id integer primary key,
    bytes blob not null
);

-- Where the bytes of a stream from a position on are; small, so that rewriting it costs little.
create table runs (
    stream_id integer not null,
    start integer not null,
    length integer not null,
    data_id integer not null,
    primary key (stream_id, start)
) without rowid;

-- Streams whose bytes nobody needs; they are removed in small steps.
create table garbage (
    stream_id integer primary key
);
