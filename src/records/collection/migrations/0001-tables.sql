-- after: resource/0001-tables.sql
-- after: client/0001-tables.sql
-- Collections of machines. `members` is kept beside them, so that nobody counts. A stale one is evaluated as soon as somebody can.
create table collection (
  id integer generated always as identity primary key,
  name text not null,
  name_key text not null unique,
  comment text not null default '',
  -- Those that every site has; nobody changes or deletes them.
  builtin boolean not null default false,
  query text,
  -- A subcollection stands under another one: a push to that one may mean it too, but its members are its own.
  parent_id integer references collection,
  -- Only members of that one can be members.
  limit_id integer references collection,
  every_minutes integer not null check (every_minutes between 1 and 525600),
  members integer not null default 0,
  created_at timestamptz,
  created_by text not null,
  evaluated_at timestamptz,
  evaluation_ms integer,
  stale boolean not null default true,
  -- Why it could not be evaluated; its members stay as they were then.
  error text
);
create index collection_parent on collection (parent_id) where parent_id is not null;

create table collection_direct (
  collection_id integer not null references collection on delete cascade,
  resource_id integer not null,
  primary key (collection_id, resource_id)
);
create index collection_direct_resource on collection_direct (resource_id);

create table collection_rule (
  collection_id integer not null references collection on delete cascade,
  kind text not null check (kind in ('include', 'exclude')),
  other_id integer not null references collection,
  primary key (collection_id, other_id)
);

create table collection_member (
  collection_id integer not null,
  resource_id integer not null,
  primary key (collection_id, resource_id)
);

-- Machines to be judged again: written by those who change a machine or its client, in their transaction.
create table collection_change (
  id bigint generated always as identity primary key,
  resource_id integer not null
);

create function collection_resource_written() returns trigger language plpgsql as $$
begin
  insert into collection_change (resource_id) select id from written;
  return null;
end $$;
create trigger collection_resource_made after insert on resource referencing new table as written
  for each statement execute function collection_resource_written();
create trigger collection_resource_changed after update on resource referencing new table as written
  for each statement execute function collection_resource_written();
create trigger collection_resource_gone after delete on resource referencing old table as written
  for each statement execute function collection_resource_written();

create function collection_source_written() returns trigger language plpgsql as $$
begin
  insert into collection_change (resource_id) select distinct resource_id from written;
  return null;
end $$;
create trigger collection_source_made after insert on resource_source referencing new table as written
  for each statement execute function collection_source_written();

create function collection_client_made() returns trigger language plpgsql as $$
begin
  insert into collection_change (resource_id) select resource_id from written where resource_id is not null;
  return null;
end $$;
create trigger collection_client_made after insert on client referencing new table as written
  for each statement execute function collection_client_made();
create trigger collection_client_gone after delete on client referencing old table as written
  for each statement execute function collection_client_made();

-- A heartbeat alone changes nothing that a filter asks for, unless the client was silent for long.
create function collection_client_changed() returns trigger language plpgsql as $$
begin
  insert into collection_change (resource_id)
    select v.id from written n join former o on o.id = n.id, lateral (values (n.resource_id), (o.resource_id)) as v(id)
    where v.id is not null and (n.last_seen_at - o.last_seen_at > interval '1 hour' or
      (n.resource_id, n.version, n.site, n.guid, n.approval, n.blocked, n.obsolete)
        is distinct from (o.resource_id, o.version, o.site, o.guid, o.approval, o.blocked, o.obsolete));
  return null;
end $$;
create trigger collection_client_changed after update on client referencing old table as former new table as written
  for each statement execute function collection_client_changed();

insert into collection (name, name_key, builtin, comment, query, every_minutes, created_by) values
  ('All Systems', 'ALL SYSTEMS', true, 'every known machine', 'name is not null', 1440, 'built in'),
  ('All Windows Workstations', 'ALL WINDOWS WORKSTATIONS', true, 'Windows on workstations', 'os like "*Windows*" and type = workstation', 1440, 'built in'),
  ('All Windows Servers', 'ALL WINDOWS SERVERS', true, 'Windows on servers and domain controllers', 'os like "*Windows*" and type in (server, dc)', 1440, 'built in'),
  ('Systems without a client', 'SYSTEMS WITHOUT A CLIENT', true, 'machines that are not flagged as installed', 'not client.installed', 1440, 'built in');
