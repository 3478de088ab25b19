-- The sites this site knows, exactly one of them its own; its settings; points of presence; tokens of the console's API.
create table site (
  code text primary key check (code ~ '^[A-Z0-9]{3}$'),
  kind text not null check (kind in ('primary', 'secondary')),
  parent text,
  own boolean not null default false,
  settings jsonb not null default '{}',
  created_at timestamptz not null,
  changed_at timestamptz not null
);
create unique index site_own on site (own) where own;

create table site_point (
  site text not null references site on delete cascade,
  kind text not null check (kind in ('mp', 'slp', 'fsp')),
  address text not null,
  is_on boolean not null,
  pin text,
  changed_at timestamptz not null,
  primary key (site, kind)
);

create table site_token (
  id integer generated always as identity primary key,
  hash bytea not null unique,
  label text not null,
  scopes text[] not null,
  created_at timestamptz not null
);
