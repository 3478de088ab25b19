-- The upkeep takes the oldest of those that are finished away, a part at a time; without this each part was found by reading the whole table.
create index ccr_finished on ccr (finished_at) where finished_at is not null;
