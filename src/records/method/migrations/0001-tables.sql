-- What a discovery method works with when it runs by its schedule, and when it is due.
create table method_settings (
  method text primary key,
  settings jsonb not null,
  full_minutes integer not null default 0 check (full_minutes >= 0),
  delta_minutes integer not null default 0 check (delta_minutes >= 0),
  full_due_at timestamptz,
  delta_due_at timestamptz,
  changed_at timestamptz not null,
  changed_by text not null
);

-- One run of a method: a wish at first, then its progress, then its report. `own` runs have settings of their own, given with the wish.
create table method_run (
  id integer generated always as identity primary key,
  method text not null,
  kind text not null check (kind in ('full', 'delta')),
  own boolean not null,
  scheduled boolean not null,
  state text not null check (state in ('queued', 'running', 'done', 'cancelled', 'failed')),
  settings jsonb not null,
  total integer not null,
  -- So many of the targets, in the order in which they are asked, are done: where another process goes on.
  done integer not null default 0,
  report jsonb not null default '{}',
  error text,
  wanted_by text not null,
  wanted_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz,
  cancelled_by text,
  worker text,
  alive_at timestamptz
);
create index method_run_live on method_run (id) where finished_at is null;
create index method_run_newest on method_run (method, id);
