-- Approval with a third answer, how a client proved itself, identity, and what was decided.
alter table client drop constraint client_approval_check;
alter table client add constraint client_approval_check check (approval in ('approved', 'pending', 'rejected'));

-- How the machine showed who it is: 'token' (it rode on a push), 'domain' (a proof of a trusted domain); null where it only says so.
alter table client add column proven_by text;
update client set proven_by = 'token' where approved_by = 'token';

-- Whether it is the machine it says it is, by a proof or by a person. 'setting' approved everybody and proves nothing.
alter table client add column believed boolean not null generated always as
  (approval <> 'rejected' and (proven_by is not null or (approval = 'approved' and coalesce(approved_by, '') <> 'setting'))) stored;

-- client_hardware_key is a hardware id as it is compared; null for what boards say that were never given one.
create function client_hardware_key(p_id text) returns text language sql immutable parallel safe as $$
  select case when length(k) < 4 or translate(k, '-:.', '') ~
    '^(0+|F+|X+|(TO BE FILLED|DEFAULT STRING|SYSTEM (SERIAL|PRODUCT)|NOT (SPECIFIED|APPLICABLE|SETTABLE)|NONE|N/A|UNKNOWN|INVALID|CHASSIS|O\.?E\.?M|12345678).*)$'
    then null else k end
  from (select upper(trim(both '{} ' from regexp_replace(p_id, '^[0-9]:', ''))) as k) x $$;
alter table client add column hardware_key text generated always as (client_hardware_key(hardware_id)) stored;
drop index client_hardware;
create index client_hardware on client (hardware_key) where not obsolete;
create index client_address on client (last_address);

-- Two machines with one key show by their starts: both when this run of the agent began and when the one before it did.
alter table client add column started_at timestamptz;
alter table client add column started_before timestamptz;
alter table client add column sent_at timestamptz;
-- Whether the last heartbeat came from elsewhere than the one before it.
alter table client add column alarm boolean not null default false;

-- What the site wants of this client beside the settings, and how often that changed (records/policy decides it).
alter table client add column wanted jsonb;
alter table client add column policy_serial integer not null default 0;

-- The key that proves the site's policy to a client that was pushed (messages/token), made of its token, which goes.
alter table client add column policy_key bytea;

-- Keys that were a client's and are not any more.
create table client_key (
  key_hash bytea primary key,
  client_id integer not null,
  ended_at timestamptz not null,
  why text not null
);
create index client_key_client on client_key (client_id);

-- Hardware ids that tell no machine from another: docks, cloned firmware, virtual machines that share one.
create table client_bad_hardware (
  hardware_key text primary key,
  why text not null default '',
  added_by text not null,
  added_at timestamptz not null
);

-- Who seems to be somebody else. `holds` waits for a decision: until then nothing approves the client.
create table client_conflict (
  id integer generated always as identity primary key,
  client_id integer not null,
  other_id integer,
  kind text not null check (kind in ('hardware', 'name', 'blocked', 'retired', 'clone')),
  score integer not null default 0,
  holds boolean not null,
  detail jsonb,
  at timestamptz not null,
  decision text,
  decided_by text,
  decided_at timestamptz
);
create unique index client_conflict_open on client_conflict (client_id, kind) where decided_at is null;
create index client_conflict_client on client_conflict (client_id);
create index client_conflict_other on client_conflict (other_id) where other_id is not null;

-- What happened to each client and who decided it.
create table client_event (
  id bigint generated always as identity primary key,
  client_id integer not null,
  at timestamptz not null,
  what text not null,
  by text not null,
  detail jsonb
);
create index client_event_client on client_event (client_id, id);
