-- What a neighbour was told last, by its digest, so that only what differs travels. A neighbour that needs everything gets a snapshot.
create table branch_told (
  peer text not null,
  kind text not null,
  key text not null,
  digest bytea not null,
  primary key (peer, kind, key)
);

-- Boundaries as they were last changed at any site of the branch, the removed ones too: of two changes the later one counts everywhere.
create table branch_boundary (
  boundary text not null,
  site text not null,
  roaming boolean not null,
  gone boolean not null,
  changed_at timestamptz not null,
  primary key (boundary, site)
);

-- How far the CCRs of this site have been told to the parent.
create table branch_cursor (
  name text primary key,
  value text not null
);

-- CCRs of the sites below, to look at. They are worked where they are.
create table branch_ccr (
  site text not null,
  id integer not null,
  name text not null,
  name_key text not null,
  domain text not null,
  state text not null,
  source text not null,
  attempts integer not null,
  last_error_code integer,
  last_error text,
  first_requested_at timestamptz not null,
  last_attempt_at timestamptz,
  next_attempt_at timestamptz,
  finished_at timestamptz,
  received_at timestamptz not null,
  primary key (site, id)
);
create index branch_ccr_name on branch_ccr (name_key, site, id);

-- Packages of the parent whose files are not all here yet.
create table branch_package (
  name text primary key,
  origin text not null,
  body jsonb not null,
  wanted_at timestamptz not null,
  error text
);
