-- The planner estimates by the statistics of an index on an expression only where the index is of all rows.
drop index resource_network;
drop index resource_os;
create index resource_network on resource using gin (resource_networks(addresses));
create index resource_os on resource (upper(os) text_pattern_ops, name_key, domain_key);
