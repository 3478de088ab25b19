-- Verifications have a share of what is being worked.
create index ccr_verifying on ccr (due_at, id) where state = 'verifying' and due_at is not null;

-- ccr_claim hands due CCRs to a worker, oldest first and the waves in turn, and counts the attempt as begun. Claims wait for each other,
-- which makes the caps exact; a row that somebody else has locked is left for the next claim. It walks the queue from its head past what belongs to full
-- subnets and accounts, but no further than v_far rows: when that was not enough it looks at the head of each lane instead, so that its
-- cost does not depend on how many CCRs are queued. Where more than one wave has something due, the newest ones (v_waves) and what came
-- without a wave (0) each put their head beside that of the whole queue, and the wave of which the fewest are being worked comes first: a
-- push of one machine is in the next claim, whatever the number queued before it. Before all of them come machines whose push is
-- to be verified, until they have a quarter of what is being worked: they became due later than everything queued before them, and would
-- wait for the end of a long queue to be called complete.
create or replace function ccr_claim(p_worker integer, p_limit integer, p_now timestamptz, p_per_subnet integer, p_per_account integer, p_per_site integer)
returns setof ccr language plpgsql set enable_seqscan = off as $$
declare
  v_limit integer;
  v_window integer;
  v_verify integer;
  v_busy integer;
  v_waves integer[];
  v_far constant integer := 10000;
  -- Objects, because looking a key up in one takes the same time however many subnets are full.
  v_subnets jsonb;
  v_accounts jsonb;
  v_ids integer[];
  v_seen integer;
  v_enough integer;
begin
  perform pg_advisory_xact_lock(1128481388);
  if not exists (select from ccr_worker where id = p_worker and ended_at is null) then return; end if;
  select count(*), count(*) filter (where state = 'verifying') into v_busy, v_verify from ccr where worker_id is not null;
  v_limit := least(p_limit, p_per_site - v_busy);
  if v_limit < 1 then return; end if;
  v_window := v_limit * 2 + 64;
  v_verify := greatest(0, least(v_limit, (v_busy + v_limit + 3) / 4 - v_verify));
  with recursive w (wave, due_at, n) as (
    (select c.wave, c.due_at, 1 from ccr c where c.due_at is not null order by c.wave desc, c.due_at, c.id limit 1)
    union all
    select x.wave, x.due_at, w.n + 1 from w, lateral (
      select c.wave, c.due_at from ccr c where c.due_at is not null and c.wave < w.wave order by c.wave desc, c.due_at, c.id limit 1
    ) x where w.n < 256
  )
  select array(select wave from w where due_at <= p_now order by wave desc limit 32) into v_waves;
  if not 0 = any (v_waves) then v_waves := v_waves || 0; end if;
  select coalesce(jsonb_object_agg(cap_key, true), '{}') into v_subnets
    from (select cap_key from ccr where worker_id is not null and cap_key <> '' group by cap_key having count(*) >= p_per_subnet) s;
  select coalesce(jsonb_object_agg(account, true), '{}') into v_accounts
    from (select account from ccr where worker_id is not null and account is not null group by account having count(*) >= p_per_account) a;
  if exists (select from unnest(v_waves) w (wave) where wave <> v_waves[1] and exists (
    select from ccr c where c.due_at <= p_now and c.wave = w.wave)) then
    -- Any is enough here: the lanes know no waves.
    v_enough := 1;
    with verify as (
      select id, cap_key, account, due_at, wave from ccr where state = 'verifying' and due_at <= p_now order by due_at, id limit v_verify
    ), busy_subnet as (
      select cap_key, count(*) as n from ccr where worker_id is not null and cap_key <> '' group by cap_key
    ), busy_account as (
      select account, count(*) as n from ccr where worker_id is not null and account is not null group by account
    ), busy_wave as (
      select wave, count(*) as n from ccr where worker_id is not null group by wave
    ), oldest as (
      select id, cap_key, account, due_at, wave
      from (select id, cap_key, account, due_at, wave from ccr where due_at <= p_now order by due_at, id limit v_far) far
      where not v_subnets ? cap_key and (account is null or not v_accounts ? account) limit v_window
    ), newest as (
      select h.* from unnest(v_waves) v (wave), lateral (
        select id, cap_key, account, due_at, wave from (
          select c.id, c.cap_key, c.account, c.due_at, c.wave from ccr c where c.due_at <= p_now and c.wave = v.wave
          order by c.wave desc, c.due_at, c.id limit v_window * 4) far
        where not v_subnets ? cap_key and (account is null or not v_accounts ? account)
        limit greatest(16, v_window / cardinality(v_waves))
      ) h
    ), head as (
      select both_heads.*, v.id is not null as first, coalesce(b.n, 0) + row_number() over (partition by wave order by due_at, id) as turn
      from (select * from oldest union select * from newest union select * from verify) both_heads
        left join busy_wave b using (wave) left join (select id from verify) v using (id)
    ), ranked as (
      select h.id, h.due_at, h.turn, h.first,
        case when h.cap_key = '' then true
          else row_number() over (partition by h.cap_key order by h.first desc, h.turn, h.due_at, h.id) + coalesce(s.n, 0) <= p_per_subnet end as subnet_ok,
        case when h.account is null then true
          else row_number() over (partition by h.account order by h.first desc, h.turn, h.due_at, h.id) + coalesce(a.n, 0) <= p_per_account end as account_ok
      from head h left join busy_subnet s using (cap_key) left join busy_account a using (account)
    )
    select array(select id from ranked where subnet_ok and account_ok order by first desc, turn, due_at, id limit v_limit), (select count(*) from ranked)
      into v_ids, v_seen;
  else
    v_enough := (v_limit + 1) / 2;
    with verify as (
      select id, cap_key, account, due_at from ccr where state = 'verifying' and due_at <= p_now order by due_at, id limit v_verify
    ), busy_subnet as (
      select cap_key, count(*) as n from ccr where worker_id is not null and cap_key <> '' group by cap_key
    ), busy_account as (
      select account, count(*) as n from ccr where worker_id is not null and account is not null group by account
    ), oldest as (
      select id, cap_key, account, due_at
      from (select id, cap_key, account, due_at from ccr where due_at <= p_now order by due_at, id limit v_far) far
      where not v_subnets ? cap_key and (account is null or not v_accounts ? account) limit v_window
    ), head as (
      select h.*, v.id is not null as first from (select * from oldest union select * from verify) h left join (select id from verify) v using (id)
    ), ranked as (
      select h.id, h.due_at, h.first,
        case when h.cap_key = '' then true
          else row_number() over (partition by h.cap_key order by h.first desc, h.due_at, h.id) + coalesce(s.n, 0) <= p_per_subnet end as subnet_ok,
        case when h.account is null then true
          else row_number() over (partition by h.account order by h.first desc, h.due_at, h.id) + coalesce(a.n, 0) <= p_per_account end as account_ok
      from head h left join busy_subnet s using (cap_key) left join busy_account a using (account)
    )
    select array(select id from ranked where subnet_ok and account_ok order by first desc, due_at, id limit v_limit), (select count(*) from ranked)
      into v_ids, v_seen;
  end if;
  -- Too little, though the window was full or the walk ended early: there may be lanes with room further behind.
  if cardinality(v_ids) < v_enough and (v_seen >= v_window
      or exists (select from (select from ccr where due_at <= p_now order by due_at, id offset v_far limit 1) further)) then
    v_ids := ccr_claim_lanes(v_limit, p_now, p_per_subnet, p_per_account);
  end if;
  if cardinality(v_ids) = 0 then return; end if;
  -- By id and nothing that an index of due rows could be taken for.
  v_ids := array(select id from ccr where id = any (v_ids) and coalesce(due_at, 'infinity') <= p_now
    order by array_position(v_ids, id) for update skip locked);
  return query
    with taken as (
      update ccr set
        worker_id = p_worker,
        fence = fence + 1,
        due_at = null,
        woken = false,
        state = case when state = 'verifying' then state else 'processing' end,
        attempts = case when state = 'verifying' then attempts else attempts + 1 end,
        interval_attempts = case when state = 'verifying' then interval_attempts else interval_attempts + 1 end,
        initial_attempt_at = coalesce(initial_attempt_at, p_now),
        retry_interval_start = coalesce(retry_interval_start, p_now),
        last_attempt_at = case when state = 'verifying' then last_attempt_at else p_now end,
        started_at = case when state = 'verifying' then started_at end,
        verify_count = case when state = 'verifying' then verify_count else 0 end,
        changed = pg_current_xact_id()
      where id = any (v_ids)
      returning *
    ), begun as (
      insert into ccr_attempt (ccr_id, n, worker_id, started_at) select id, attempts, p_worker, p_now from taken where state = 'processing'
    )
    select * from taken order by array_position(v_ids, id);
end $$;
