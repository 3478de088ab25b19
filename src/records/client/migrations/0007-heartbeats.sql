-- A heartbeat changes when its client was last seen. While an index holds that time, each heartbeat writes an entry into every index of the
-- table; without it the new row stands in the page of the old one (HOT), where that has room. A machine has few clients to sort.
drop index client_resource;
create index client_resource on client (resource_id) where not obsolete;
alter table client set (fillfactor = 70);
