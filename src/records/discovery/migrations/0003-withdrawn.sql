-- How many CCRs of its own site-wide push has taken back on this walk.
alter table discovery_sweep add column withdrawn integer not null default 0;
