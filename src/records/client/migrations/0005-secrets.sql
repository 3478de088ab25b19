-- What of the policy is secret, sealed for this client's key, and which edition of the site's secrets that is.
alter table client add column sealed jsonb;
alter table client add column sealed_edition integer not null default 0;
create index client_unsealed on client (sealed_edition) where approval = 'approved' and not obsolete and not blocked;
