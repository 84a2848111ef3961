-- The CRC-32 of a run's bytes; null for those that were written before.

alter table runs add column checksum integer;
