-- Which machine refused the password of which account lately: who looks at a machine again and again must not lock the account by that.
create table account_refusal (
  account_id integer not null references account on delete cascade,
  machine_key text not null,
  refused_at timestamptz not null,
  primary key (account_id, machine_key)
);
create index account_refusal_old on account_refusal (account_id, refused_at);
