-- What is pushed. The definition is the administrator's JSON; the bytes of its files lie in the content folder under their SHA-256.
create table package (
  name text primary key,
  version text not null,
  platform text not null,
  definition jsonb not null,
  is_default boolean not null default false,
  added_by text not null,
  added_at timestamptz not null
);
create unique index package_default on package (platform) where is_default;

create table package_file (
  package text not null references package on delete cascade,
  name text not null,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  size bigint not null,
  primary key (package, name)
);
create index package_file_content on package_file (sha256);
