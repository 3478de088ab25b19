-- What DDRs tell beside the columns that were there: what stays when a machine is installed anew, its place in a directory, and properties
-- with the flag KEY that have no column ('NAME=VALUE', upper case).
alter table resource add column hardware_id text, add column ou text, add column keys text[] not null default '{}';

-- Which source told each property, and when: [[method, site, milliseconds since 1970, rank, [property, …]], …]. Nothing stands there for
-- what was known before this table had the column.
alter table resource add column told jsonb not null default '[]';

-- Addresses that a source saw one by one, and when: {"10.1.2.3": milliseconds}.
alter table resource add column seen jsonb;

create index resource_hardware on resource (hardware_id) where hardware_id is not null;
create index resource_keys on resource using gin (keys) where keys <> '{}';

-- The hash of what a source said last of a machine: while it stands, the same said again changes nothing. It is taken away when another
-- source changes the machine. `trusted` tells sources from mere claims.
alter table resource_source add column hash uuid, add column trusted boolean not null default false;
update resource_source set trusted = (method <> 'heartbeat');
alter table resource_source set (fillfactor = 80);
create index resource_source_hash on resource_source (hash) where hash is not null;

-- resource_told gives `told` after a source told some properties.
create function resource_told(told jsonb, method text, site text, at timestamptz, rank integer, properties text[]) returns jsonb
language sql immutable parallel safe as $$
  select coalesce(jsonb_agg(jsonb_set(e, '{4}', p) order by n) filter (where p <> '[]'), '[]') ||
    case when properties = '{}' then '[]' else jsonb_build_array(
      jsonb_build_array(method, site, (extract(epoch from at) * 1000)::bigint, rank, to_jsonb(properties))) end
  from jsonb_array_elements(told) with ordinality as t(e, n),
    lateral (select coalesce(jsonb_agg(x), '[]') as p from jsonb_array_elements(e -> 4) as x where not (x #>> '{}') = any(properties)) as kept
$$;
