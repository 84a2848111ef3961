-- Retention: where streams begin, and where their messages end.

alter table streams add column earliest integer not null default 0;  -- where the stream begins now
alter table streams add column lent_from integer;                    -- what forks have inherited: kept for them
alter table streams add column lent_to integer;
alter table streams add column retention blob;                       -- Retention as MessagePack
alter table streams add column trim_at real;                         -- when its oldest message should be given back

create index streams_by_trim on streams (trim_at, stream_id) where trim_at is not null;

-- Where the messages of streams with a policy end, by chunks of messages (see protocol/packed_numbers.py).
create table boundaries (
    stream_id integer not null,
    chunk integer not null,
    ends blob not null,                -- positions
    times blob,                        -- when they came, in ticks; null without a limit of age
    primary key (stream_id, chunk)
) without rowid;

-- Streams with bytes that nobody needs before the earliest one; they are removed in small steps.
create table trimmed (
    stream_id integer primary key
);
