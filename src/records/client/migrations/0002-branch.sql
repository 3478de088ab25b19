-- What this site shares with another one of its branch, to prove registration tokens that the other one made (messages/branch-token). Made of
-- the site keys by whoever can open the vault; no more of a secret than the keys of the tokens in client_token.
create table client_branch_key (
  site text primary key,
  own text not null,
  key bytea not null
);

-- The site at which the client registered, where that is another one of the branch.
alter table client add column via_site text;

-- What the other sites of the branch have not been told yet. Whoever tells them sets it to false; any other change sets it again.
alter table client add column unsent boolean not null default true;
create index client_unsent on client (id) where unsent;
alter table client_state add column unsent boolean not null default true;
create index client_state_unsent on client_state (id) where unsent;

create function client_changed() returns trigger language plpgsql as $$
begin
  if new.unsent = old.unsent then
    new.unsent := true;
  end if;
  return new;
end $$;
create trigger client_changed before update on client for each row execute function client_changed();
