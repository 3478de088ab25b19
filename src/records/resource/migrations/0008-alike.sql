-- What many machines have alike: their system, and their place. A site with a million machines has a few hundred different ones of each, so a
-- filter is asked of those first, and its machines are then read in the order of their names, one kind after the other, from an index.
-- The key is made of the properties; two kinds that have the same key by chance are told apart when the machine itself is looked at.
create table resource_system (
  id integer generated always as identity primary key,
  os text,
  os_version text,
  os_build integer,
  architecture text,
  type text not null,
  trusted boolean not null,
  key integer not null generated always as (hashtext(coalesce(os, '') || E'\x01' || coalesce(os_version, '') || E'\x01' || coalesce(os_build::text, '')
    || E'\x01' || coalesce(architecture, '') || E'\x01' || type || trusted::text)) stored
);
create index resource_system_key on resource_system (key);

create table resource_place (
  id integer generated always as identity primary key,
  domain_key text not null,
  assigned_site text,
  ad_site text,
  ou text,
  key integer not null generated always as (hashtext(domain_key || E'\x01' || coalesce(assigned_site, '') || E'\x01' || coalesce(ad_site, '')
    || E'\x01' || coalesce(ou, ''))) stored
);
create index resource_place_key on resource_place (key);

-- These two are found through the keys now.
drop index resource_os;
drop index resource_site;
alter table resource
  add column system_key integer not null generated always as (hashtext(coalesce(os, '') || E'\x01' || coalesce(os_version, '') || E'\x01' || coalesce(os_build::text, '')
    || E'\x01' || coalesce(architecture, '') || E'\x01' || type || trusted::text)) stored,
  add column place_key integer not null generated always as (hashtext(domain_key || E'\x01' || coalesce(assigned_site, '') || E'\x01' || coalesce(ad_site, '')
    || E'\x01' || coalesce(ou, ''))) stored;
create index resource_by_system on resource (system_key, name_key, domain_key) where not obsolete;
create index resource_by_place on resource (place_key, name_key, domain_key) where not obsolete;
create index resource_by_both on resource (system_key, place_key, name_key, domain_key) where not obsolete;
create index resource_mac on resource using gin (macs);
-- How many machines are of each kind, for the planner.
alter table resource alter column system_key set statistics 500, alter column place_key set statistics 500;

insert into resource_system (os, os_version, os_build, architecture, type, trusted)
  select distinct os, os_version, os_build, architecture, type, trusted from resource;
insert into resource_place (domain_key, assigned_site, ad_site, ou) select distinct domain_key, assigned_site, ad_site, ou from resource;

-- Kinds that are new are noted by whoever makes or changes the machine. Two that note the same at once make it twice, which does no harm, and
-- neither waits for the other.
create function resource_alike() returns trigger language plpgsql as $$
begin
  insert into resource_system (os, os_version, os_build, architecture, type, trusted)
    select distinct w.os, w.os_version, w.os_build, w.architecture, w.type, w.trusted from written w where not exists (
      select from resource_system k where k.key = w.system_key and (k.os, k.os_version, k.os_build, k.architecture, k.type, k.trusted)
        is not distinct from (w.os, w.os_version, w.os_build, w.architecture, w.type, w.trusted));
  insert into resource_place (domain_key, assigned_site, ad_site, ou)
    select distinct w.domain_key, w.assigned_site, w.ad_site, w.ou from written w where not exists (
      select from resource_place k where k.key = w.place_key and (k.domain_key, k.assigned_site, k.ad_site, k.ou)
        is not distinct from (w.domain_key, w.assigned_site, w.ad_site, w.ou));
  return null;
end $$;
create trigger resource_made_alike after insert on resource referencing new table as written
  for each statement execute function resource_alike();
create trigger resource_changed_alike after update on resource referencing new table as written
  for each statement execute function resource_alike();
analyze resource;
analyze resource_system;
analyze resource_place;
