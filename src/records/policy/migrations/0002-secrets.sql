-- after: client/0005-secrets.sql
-- Secrets that approved clients get with their policy, sealed for the vault. One edition is all of them as they are after a change.
create table policy_secret (
  name text primary key,
  sealed bytea not null,
  changed_by text not null,
  changed_at timestamptz not null
);
create table policy_edition (
  one boolean primary key default true check (one),
  edition integer not null
);
insert into policy_edition (edition) values (0);
