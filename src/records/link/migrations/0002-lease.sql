-- Of several processes of a site one dials the parent: the one that holds this lease.
alter table link add column lease_owner text, add column lease_until timestamptz;
