-- There is a row while all known machines are to be looked at again: `after` is the last one that was.
create table discovery_sweep (
  one boolean primary key default true check (one),
  after integer not null default 0,
  wanted_at timestamptz not null,
  wanted_by text not null,
  assigned integer not null default 0,
  requested integer not null default 0
);

-- When each maintenance task ran last, and how many machines it touched.
create table discovery_maintenance (
  task text primary key,
  at timestamptz not null,
  touched integer not null
);
