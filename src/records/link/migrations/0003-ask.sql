-- Registration tokens of other sites of the branch that a process without the key of the vault was shown: the process that keeps the lines
-- answers with what the proof of that one token is made with.
create table link_token_ask (
  id text primary key,
  asked_at timestamptz not null,
  key bytea
);
