-- A new key on the machine of a client that a person said no to waits for a person.
alter table client_conflict drop constraint client_conflict_kind_check;
alter table client_conflict add constraint client_conflict_kind_check
  check (kind in ('hardware', 'name', 'blocked', 'rejected', 'retired', 'clone'));
