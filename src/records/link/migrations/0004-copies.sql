-- Which run of a child's server spoke last, and before it; and when one came back after another had spoken, as two copies of one site do.
alter table link
  add column instance text not null default '',
  add column instance_before text not null default '',
  add column copies bigint not null default 0,
  add column copies_at timestamptz;
