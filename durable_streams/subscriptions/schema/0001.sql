-- Subscriptions, their cursors, and the service's keys.

create table definitions (
    subscription_id text primary key,
    definition blob not null            -- Definition as MessagePack
) without rowid;

-- Apart from the definition, which may be long and hardly ever changes.
create table progress (
    subscription_id text primary key,
    progress blob not null              -- Progress as MessagePack
) without rowid;

create table links (
    subscription_id text not null,
    path text not null,
    explicit integer not null,
    matched integer not null,
    stream_id integer not null,
    acked integer not null,
    primary key (subscription_id, path)
) without rowid;

-- The last generations of deleted subscriptions.
create table graves (
    subscription_id text primary key,
    generation integer not null,
    deleted_at real not null
) without rowid;

create table keys (
    kid text primary key,
    purpose text not null,
    secret blob not null,
    active_from real not null
) without rowid;
