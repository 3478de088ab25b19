-- The CCR queue. A row with finished_at null is live: at most one for each machine_key. A row with due_at set can be claimed; while a
-- worker has it, worker_id is set and due_at is null. Times come from the caller.
create table ccr (
  id integer generated always as identity primary key,
  machine_key text not null,
  resource_id integer,
  name text not null,
  name_key text not null,
  domain text not null default '',
  domain_key text not null default '',
  addresses text[] not null default '{}',
  resource_names text[] not null default '{}',
  smb_port integer,
  state text not null check (state in ('queued', 'processing', 'verifying', 'retry', 'waiting', 'paused', 'complete', 'skipped', 'failed', 'cancelled')),
  forced boolean not null default false,
  reinstall boolean not null default false,
  include_dcs boolean not null default false,
  inspect_only boolean not null default false,
  source text not null,
  site text not null default '',
  requested_by text not null,
  package text,
  -- attempts counts all of them, interval_attempts those since the week was last restarted.
  attempts integer not null default 0,
  interval_attempts integer not null default 0,
  first_requested_at timestamptz not null,
  last_requested_at timestamptz not null,
  request_count integer not null default 1,
  initial_attempt_at timestamptz,
  retry_interval_start timestamptz,
  last_attempt_at timestamptz,
  due_at timestamptz,
  last_error_code integer,
  last_error text,
  last_error_text text,
  error_event_at timestamptz,
  account text,
  started_at timestamptz,
  verify_count integer not null default 0,
  paused_from text,
  fence integer not null default 0,
  worker_id integer,
  -- rerun: 1 = asked for again while a worker had it, 2 = and with other flags; woken = the machine showed up meanwhile.
  rerun smallint not null default 0,
  woken boolean not null default false,
  cap_key text not null default '',
  finished_at timestamptz,
  finished_by text,
  proof text,
  -- changed is the transaction that wrote the row last, so that readers can follow without missing one (see changedSince).
  changed xid8 not null default pg_current_xact_id(),
  check (worker_id is null or due_at is null),
  check (finished_at is null or (due_at is null and worker_id is null))
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1);

create unique index ccr_live on ccr (machine_key) where finished_at is null;
create index ccr_due on ccr (due_at, id) where due_at is not null;
create index ccr_lane on ccr (cap_key, account, due_at, id) where due_at is not null;
create index ccr_busy on ccr (worker_id) where worker_id is not null;
create index ccr_named on ccr (name_key, id);
create index ccr_resource on ccr (resource_id) where finished_at is null;
create index ccr_state_live on ccr (state, id) where finished_at is null;
create index ccr_state_done on ccr (state, id) where finished_at is not null;
create index ccr_changed on ccr (changed, id);

-- The names there are CCRs of, so that a part of a name is found without looking through all history.
create table ccr_name (
  name_key text primary key
);
do $$ begin
  create extension if not exists pg_trgm;
  create index ccr_name_part on ccr_name using gin (name_key gin_trgm_ops);
exception when others then
  raise notice 'pg_trgm cannot be used: %', sqlerrm;
end $$;

-- How many CCRs are finished, by state; in shards, so that processes that finish some do not wait for each other.
create table ccr_tally (
  state text not null,
  shard integer not null,
  n bigint not null,
  primary key (state, shard)
) with (fillfactor = 50);

create table ccr_attempt (
  ccr_id integer not null,
  n integer not null,
  worker_id integer not null,
  started_at timestamptz not null,
  ended_at timestamptz,
  outcome text,
  error_code integer,
  error text,
  error_text text,
  account text,
  dialect text,
  signing text,
  encryption text,
  primary key (ccr_id, n)
) with (fillfactor = 85);
create index ccr_attempt_started on ccr_attempt using brin (started_at);

create table ccr_step (
  ccr_id integer not null,
  attempt integer not null,
  seq integer not null,
  name text not null,
  outcome text not null,
  started_at timestamptz not null,
  duration_ms integer not null,
  detail text,
  code text,
  win32 integer,
  primary key (ccr_id, attempt, seq)
);

-- A worker is one process that claims CCRs. It is dead when its lease has run out, or when the advisory lock it holds is free.
create table ccr_worker (
  id integer generated always as identity primary key,
  name text not null,
  registered_at timestamptz not null,
  lease_until timestamptz not null,
  ended_at timestamptz
);
create index ccr_worker_alive on ccr_worker (id) where ended_at is null;
