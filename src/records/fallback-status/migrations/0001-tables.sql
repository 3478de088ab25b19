-- What was said at the fallback status point. Nobody signed it, so it stands apart: nothing but reports reads it, and nothing acts on it.
create table fallback_status (
  id bigint generated always as identity primary key,
  -- The network it came from: an IPv4 address, or the /64 of an IPv6 one.
  sender text not null,
  topic_type integer not null,
  topic_id uuid not null,
  state_id integer not null,
  at timestamptz not null,
  received_at timestamptz not null,
  name_key text not null,
  name text not null,
  domain text not null default '',
  site text,
  guid text,
  version text,
  exit_code bigint,
  detail text,
  log_tail text,
  unique (topic_id, topic_type, state_id, sender)
);
create index fallback_status_sender on fallback_status (sender, id);
create index fallback_status_name on fallback_status (name_key, id);
