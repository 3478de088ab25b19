-- Push accounts. The password is sealed with the site's public key; only components can open it.
create table account (
  id integer generated always as identity primary key,
  name text not null,
  name_key text not null unique,
  username text not null,
  sealed_password bytea not null,
  scope_kind text not null check (scope_kind in ('site', 'host', 'subnet')),
  scope_value text not null default '',
  state text not null default 'unproven' check (state in ('unproven', 'usable', 'stopped')),
  stop_code integer,
  stop_reason text,
  stopped_at timestamptz,
  created_at timestamptz not null,
  changed_at timestamptz not null,
  -- When it last worked (written at most every few seconds), and the machine that last said 1326 since then.
  worked_at timestamptz,
  refused_by text,
  refused_at timestamptz,
  -- While nothing proves the account, one machine at a time may try it.
  lease_key text,
  lease_until timestamptz
);

-- The account that worked last on a machine.
create table account_host (
  machine_key text primary key,
  account_id integer not null references account on delete cascade,
  worked_at timestamptz not null
);
create index account_host_account on account_host (account_id);
