-- DDRs that wait for DDM, as the points leave them there. `key` names who sent one: a later one takes the place of an earlier.
create table ddr (
  id bigint generated always as identity primary key,
  method text not null,
  key text not null,
  site text not null,
  received_at timestamptz not null,
  body jsonb not null,
  unique (method, key)
);
