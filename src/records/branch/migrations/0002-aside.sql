-- DDRs that a site below told of machines outside the boundaries of its branch: known, not trusted. Where the boundaries change they are
-- judged again.
create table branch_aside (
  peer text not null,
  key text not null,
  body jsonb not null,
  told_at timestamptz not null,
  primary key (peer, key)
);
create index branch_aside_age on branch_aside (told_at);
create index branch_ccr_age on branch_ccr (finished_at) where finished_at is not null;
