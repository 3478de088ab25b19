-- When maintenance took the install flag of a silent client away; a client that is heard later sets it again.
alter table resource add column client_cleared_at timestamptz;
