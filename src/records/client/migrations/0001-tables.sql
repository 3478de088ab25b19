-- Registered clients. One public key is one client; a machine that was installed anew has a new key, and its old client is obsolete.
create table client (
  id integer generated always as identity primary key,
  guid text not null unique,
  public_key text not null,
  key_hash bytea not null unique,
  request_id uuid not null,
  resource_id integer,
  name text not null,
  name_key text not null,
  domain text not null default '',
  domain_key text not null default '',
  fqdn text not null default '',
  addresses text[] not null default '{}',
  hardware_id text not null,
  os text,
  os_version text,
  type text,
  architecture text,
  version text not null,
  site text,
  approval text not null check (approval in ('approved', 'pending')),
  -- How it came to that: its one-time token, or a person.
  approved_by text,
  blocked boolean not null default false,
  blocked_by text,
  obsolete boolean not null default false,
  replaced_by integer,
  token_id text,
  last_address text,
  sequence bigint not null default 0,
  registered_at timestamptz not null,
  last_seen_at timestamptz not null
);
create index client_resource on client (resource_id, last_seen_at) where not obsolete;
create index client_name on client (name_key, domain_key) where not obsolete;
create index client_hardware on client (hardware_id) where not obsolete;
create index client_page on client (id) where not obsolete;

-- One-time registration tokens; only SHA-256 of the secret is kept, and that is the key of the proofs.
create table client_token (
  id text primary key,
  key bytea not null,
  resource_id integer,
  name text not null,
  domain text not null default '',
  ccr_id integer,
  issued_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz,
  used_by bytea
);
create index client_token_expiry on client_token (expires_at);

-- State messages as they came in; `proven` tells those that were signed from those that are only a hint.
create table client_state (
  id bigint generated always as identity primary key,
  topic_type integer not null,
  topic_id uuid not null,
  state_id integer not null,
  at timestamptz not null,
  received_at timestamptz not null,
  name_key text not null,
  name text not null,
  domain text not null default '',
  resource_id integer,
  site text,
  guid text,
  version text,
  exit_code bigint,
  detail text,
  log_tail text,
  proven boolean not null,
  unique (topic_id, topic_type, state_id, proven)
);
create index client_state_resource on client_state (resource_id, id);
create index client_state_name on client_state (name_key, id);
create index client_state_received on client_state using brin (received_at);
