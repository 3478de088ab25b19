-- after: client/0003-trust.sql
-- after: collection/0001-tables.sql
-- What is asked of clients beside the settings of the site: an upgrade, a move to another site, an uninstall.
create table policy_assignment (
  id integer generated always as identity primary key,
  kind text not null check (kind in ('upgrade', 'migrate', 'uninstall')),
  target_kind text not null check (target_kind in ('clients', 'collection', 'site')),
  -- How the target is called, for people.
  target text not null,
  collection_id integer,
  site text,
  -- Whether clients that come to the target later are taken too.
  follow boolean not null,
  -- What stands in the policy of a client that is asked.
  wish jsonb not null,
  platform text,
  version text,
  -- So many are asked at once, and the next when these are through; null for all at once.
  wave_size integer check (wave_size > 0),
  -- So many, or per cent of all, may fail; then the rest is not asked.
  stop_after integer,
  stop_percent integer,
  -- A client that was heard again and has not done it after so many hours has failed.
  patience_hours integer not null,
  state text not null check (state in ('active', 'paused', 'stopped', 'finished', 'cancelled')),
  stop_reason text,
  wave integer not null default 0,
  made_by text not null,
  made_at timestamptz not null,
  ended_at timestamptz
);
create index policy_assignment_live on policy_assignment (id) where state = 'active';

create table policy_target (
  assignment_id integer not null references policy_assignment on delete cascade,
  client_id integer not null,
  state text not null check (state in ('waiting', 'offered', 'done', 'failed', 'withdrawn')),
  wave integer not null default 0,
  offered_at timestamptz,
  at timestamptz not null,
  detail text,
  primary key (assignment_id, client_id)
);
create index policy_target_state on policy_target (assignment_id, state, client_id);
create index policy_target_client on policy_target (client_id) where state = 'offered';
