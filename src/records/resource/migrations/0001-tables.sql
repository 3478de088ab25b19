-- Machines as discovery knows them. Keys are upper case, made by the program. An obsolete row stands for a machine that another row took
-- the name of; it comes back when its guid is seen again.
create table resource (
  id integer generated always as identity (start with 16777216) primary key,
  name text not null,
  name_key text not null,
  domain text not null default '',
  domain_key text not null default '',
  fqdn text,
  fqdn_key text,
  guid text,
  addresses text[] not null default '{}',
  macs text[] not null default '{}',
  os text,
  os_version text,
  os_build integer,
  architecture text,
  type text not null default 'unknown' check (type in ('workstation', 'server', 'dc', 'unknown')),
  ad_site text,
  smb_port integer,
  ssh_port integer,
  assigned_site text,
  trusted boolean not null default false,
  obsolete boolean not null default false,
  -- A client seen on the machine by a push, registered here or not.
  seen_client_version text,
  seen_client_site text,
  seen_at timestamptz,
  created_at timestamptz not null,
  changed_at timestamptz not null
);
create unique index resource_name on resource (name_key, domain_key) where not obsolete;
create unique index resource_guid on resource (guid) where guid is not null;
create index resource_fqdn on resource (fqdn_key) where fqdn_key is not null;
create index resource_address on resource using gin (addresses) with (fastupdate = on);
create index resource_site on resource (assigned_site, name_key, domain_key) where not obsolete;

create table resource_source (
  resource_id integer not null references resource on delete cascade,
  method text not null,
  site text not null,
  at timestamptz not null,
  primary key (resource_id, method, site)
);

-- The search for a part of a name is flat with trigrams; a server without that extension searches row by row.
do $$ begin
  create extension if not exists pg_trgm;
  create index resource_name_part on resource using gin (name_key gin_trgm_ops) where not obsolete;
exception when others then
  raise notice 'pg_trgm cannot be used: %', sqlerrm;
end $$;
