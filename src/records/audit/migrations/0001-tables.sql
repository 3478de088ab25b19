-- Who did what. Each entry carries the hash of the one before it, so that one that is changed, moved or taken out is noticed.
create table audit (
  seq bigint primary key,
  at timestamptz not null,
  who text not null,
  what text not null,
  object text not null,
  -- JSON as it was written: the hash goes over these characters.
  detail text,
  address text,
  hash bytea not null
);
create index audit_what on audit (what, seq);

create function audit_refuse() returns trigger language plpgsql as $$
begin
  raise exception 'the audit log is only added to';
end $$;
create trigger audit_append_only before update or delete or truncate on audit for each statement execute function audit_refuse();

-- audit_write appends an entry. Writers wait for each other until they commit, so that the chain has one order and no gap.
create function audit_write(p_at timestamptz, p_who text, p_what text, p_object text, p_detail text, p_address text, p_entry text)
returns bigint language plpgsql as $$
declare
  v_seq bigint;
  v_hash bytea;
begin
  perform pg_advisory_xact_lock(1128481345);
  select seq, hash into v_seq, v_hash from audit order by seq desc limit 1;
  v_seq := coalesce(v_seq, 0) + 1;
  insert into audit (seq, at, who, what, object, detail, address, hash) values (v_seq, p_at, p_who, p_what, p_object, p_detail, p_address,
    sha256(coalesce(v_hash, ''::bytea) || convert_to(v_seq || E'\n' || p_entry, 'UTF8')));
  return v_seq;
end $$;
