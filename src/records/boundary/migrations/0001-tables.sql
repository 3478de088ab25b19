-- What belongs to which site. `value` is in its one usual form; `value_key` is what is compared. A site boundary assigns machines to its
-- site; a roaming one only says where they find content.
create table boundary (
  id integer generated always as identity primary key,
  kind text not null check (kind in ('subnet', 'range', 'ipv6', 'adsite')),
  value text not null,
  value_key text not null,
  site text not null,
  roaming boolean not null,
  created_at timestamptz not null,
  created_by text not null
);
create unique index boundary_once on boundary (kind, value_key, site);

-- Each change takes a new number from the sequence, which never gives one twice, not even to a transaction that was taken back: a number
-- that a process has seen stands for one state of the table for ever.
create sequence boundary_change;
create table boundary_version (
  one boolean primary key default true check (one),
  version bigint not null
);
insert into boundary_version (version) values (nextval('boundary_change'));
