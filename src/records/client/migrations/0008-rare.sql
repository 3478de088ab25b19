-- Clients that are blocked, or that are not approved, are looked for among very many that are.
create index client_blocked on client (resource_id) where blocked and not obsolete;
create index client_unapproved on client (approval, resource_id) where approval <> 'approved' and not obsolete;
