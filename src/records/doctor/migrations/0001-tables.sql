-- A person wants to know why a machine does not get its client, or what ails the site server (host is null): asked at a point, answered by CCM.
create table doctor_request (
  id integer generated always as identity primary key,
  host text,
  logon boolean not null,
  state text not null check (state in ('queued', 'running', 'done', 'failed')),
  -- What was found so far, in the order in which it was looked at.
  checks jsonb not null default '[]',
  error text,
  wanted_by text not null,
  wanted_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz,
  worker text,
  alive_at timestamptz
);
create index doctor_request_live on doctor_request (id) where finished_at is null;
create index doctor_request_old on doctor_request (wanted_at);
