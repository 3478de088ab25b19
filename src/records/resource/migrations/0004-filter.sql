-- What a filter looks up by: the networks that a machine's addresses are in, and its operating system.

-- resource_networks gives 10.1. and 10.1.2. for 10.1.2.3, and the /48 and /64 of an IPv6 address.
create function resource_networks(addresses text[]) returns text[] language plpgsql immutable strict parallel safe as $$
declare
  a text;
  short text;
  found text[] := '{}';
begin
  foreach a in array addresses loop
    if strpos(a, ':') = 0 then
      short := split_part(a, '.', 1) || '.' || split_part(a, '.', 2) || '.';
      found := found || short || (short || split_part(a, '.', 3) || '.');
    else
      found := found || (host(network(set_masklen(a::inet, 48))) || '/48') || (host(network(set_masklen(a::inet, 64))) || '/64');
    end if;
  end loop;
  return found;
end $$;

create index resource_network on resource using gin (resource_networks(addresses)) where not obsolete;
create index resource_os on resource (upper(os) text_pattern_ops, name_key, domain_key) where not obsolete;
