-- Large records stay where they are: in segments of the journal that are kept for them.

create table kept_segments (
    segment integer primary key,
    size integer not null,      -- bytes that it had when it was folded; 0 when what is left of it is not to be moved
    needed integer not null     -- bytes of the runs that lie in it; at 0 its file may go
);

create index kept_segments_to_leave on kept_segments (segment) where 2 * needed < size;
create index kept_segments_to_free on kept_segments (segment) where needed = 0;

-- For a run that lies in a segment; its data_id is 0.
alter table runs add column segment integer;
alter table runs add column position integer;   -- where its bytes begin in the segment's file
alter table runs add column seed integer;       -- what its checksum begins with

create index runs_in_segments on runs (segment, position) where segment is not null;
