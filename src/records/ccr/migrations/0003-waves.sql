-- Waves, fair claims, the sweep for absent machines, and what workers count.

-- A wave is what one push asked for. Wave 0 is everything that came without one: files, SMS_POST, discovery.
create table ccr_wave (
  id integer generated always as identity primary key,
  made_at timestamptz not null,
  made_by text not null,
  machines integer not null default 0,
  -- So many machines, or per cent of them, may fail; then what is left of the wave is paused.
  stop_after integer,
  stop_percent integer,
  stopped_at timestamptz,
  stop_reason text
);

alter table ccr add column wave integer not null default 0;
create index ccr_wave_due on ccr (wave desc, due_at, id) where due_at is not null;
create index ccr_wave_all on ccr (wave, id) where wave <> 0;
create index ccr_of_site on ccr (site, id);
-- Those that nobody answered for: the sweep asks whether they are back. The same list of causes stands in absent.ts.
create index ccr_absent on ccr (id) where state = 'retry' and finished_at is null and worker_id is null
  and last_error in ('PP_NET_REFUSED', 'PP_NET_SILENT', 'PP_NET_UNROUTABLE', 'PP_NET_NAME_UNKNOWN');

-- The sweep is done by one process of the site at a time: who has it, until when, and the CCR it has come to. It goes round, so that the
-- machine that was not asked for the longest time is always the next.
create table ccr_sweep (
  one boolean primary key default true check (one),
  worker_id integer,
  lease_until timestamptz,
  at integer not null default 0
);
insert into ccr_sweep default values;

-- What a worker has counted since it began; it stays when the worker ends, so that sums only grow.
alter table ccr_worker add column meter jsonb;

-- ccr_request makes a CCR or merges into the live one of that machine. Requests for one short name wait for each other.
create or replace function ccr_request(p jsonb, p_now timestamptz, out made boolean, out c ccr) language plpgsql as $$
declare
  k_name constant text := p ->> 'nameKey';
  k_domain constant text := coalesce(p ->> 'domainKey', '');
  k_source constant text := p ->> 'source';
  v_resource integer := (p ->> 'resourceId')::integer;
  v_key text;
  v_id integer;
  v_old ccr;
  v_other boolean;
  v_addresses text[] := array(select jsonb_array_elements_text(coalesce(p -> 'addresses', '[]')));
  v_names text[] := array(select jsonb_array_elements_text(coalesce(p -> 'resourceNames', '[]')));
begin
  perform pg_advisory_xact_lock(1128481326, hashtext(k_name));
  if v_resource is null then
    select case when count(*) = 1 then min(r.id) end into v_resource from resource r
      where not r.obsolete and r.name_key = k_name and (k_domain = '' or ccr_same_domain(r.domain_key, k_domain) or r.fqdn_key = k_name || '.' || k_domain);
  end if;
  loop
    v_key := case when v_resource is not null then 'R' || v_resource when k_domain <> '' then k_name || '.' || k_domain else k_name end;
    select id into v_id from ccr where machine_key = v_key and finished_at is null;
    if v_id is null then
      -- The same machine, asked for before it was known as a resource, or with less of its name; only where that is unambiguous.
      -- That it is live is said in a way that only the index by name fits: before the table is analysed, all others look as cheap.
      select case when count(*) = 1 then min(id) end into v_id from ccr
        where name_key = k_name and coalesce(finished_at, 'infinity') = 'infinity' and (v_resource is null or resource_id is null)
          and (k_domain = '' or domain_key = '' or ccr_same_domain(domain_key, k_domain));
    end if;
    if v_id is null then
      insert into ccr (machine_key, resource_id, name, name_key, domain, domain_key, addresses, resource_names, smb_port, state, forced,
        reinstall, include_dcs, inspect_only, source, site, requested_by, package, first_requested_at, last_requested_at, due_at,
        cap_key, wave)
      values (v_key, v_resource, p ->> 'name', k_name, coalesce(p ->> 'domain', ''), k_domain, v_addresses, v_names,
        (p ->> 'smbPort')::integer, 'queued', coalesce((p ->> 'forced')::boolean, false), coalesce((p ->> 'reinstall')::boolean, false),
        coalesce((p ->> 'includeDcs')::boolean, false), coalesce((p ->> 'inspectOnly')::boolean, false), k_source,
        coalesce((select code from site where own), ''), p ->> 'requestedBy', p ->> 'package',
        coalesce((p ->> 'initialRequestDate')::timestamptz, p_now), p_now, p_now, coalesce(p ->> 'capKey', ''),
        coalesce((p ->> 'wave')::integer, 0))
      on conflict (machine_key) where finished_at is null do nothing
      returning * into c;
      made := found;
      if made then
        insert into ccr_name values (k_name) on conflict do nothing;
        return;
      end if;
      continue;
    end if;
    select * into v_old from ccr where id = v_id and finished_at is null for update;
    continue when not found;
    v_other := (coalesce((p ->> 'forced')::boolean, false) and not v_old.forced)
      or (coalesce((p ->> 'reinstall')::boolean, false) and not v_old.reinstall)
      or (coalesce((p ->> 'includeDcs')::boolean, false) and not v_old.include_dcs)
      or (v_old.inspect_only and not coalesce((p ->> 'inspectOnly')::boolean, false))
      or (p ->> 'package' is not null and p ->> 'package' is distinct from v_old.package);
    update ccr set
      machine_key = case when v_resource is not null then 'R' || v_resource else machine_key end,
      resource_id = coalesce(v_resource, resource_id),
      domain = case when domain = '' then coalesce(p ->> 'domain', '') else domain end,
      domain_key = case when domain_key = '' then k_domain else domain_key end,
      addresses = case when cardinality(v_addresses) > 0 then v_addresses else addresses end,
      cap_key = case when cardinality(v_addresses) > 0 then coalesce(p ->> 'capKey', '') else cap_key end,
      resource_names = case when cardinality(v_names) > 0 then v_names else resource_names end,
      smb_port = coalesce((p ->> 'smbPort')::integer, smb_port),
      forced = forced or coalesce((p ->> 'forced')::boolean, false),
      reinstall = reinstall or coalesce((p ->> 'reinstall')::boolean, false),
      include_dcs = include_dcs or coalesce((p ->> 'includeDcs')::boolean, false),
      inspect_only = inspect_only and coalesce((p ->> 'inspectOnly')::boolean, false),
      package = coalesce(p ->> 'package', package),
      wave = coalesce((p ->> 'wave')::integer, wave),
      last_requested_at = p_now,
      request_count = request_count + 1,
      -- Discovery sees the same machine again and again: that is no new wish, so it neither restarts the week nor takes a person's
      -- CCR over. Everything else does.
      source = case when k_source = 'discovery' then source else k_source end,
      requested_by = case when k_source = 'discovery' then requested_by else p ->> 'requestedBy' end,
      retry_interval_start = case when k_source = 'discovery' then retry_interval_start end,
      interval_attempts = case when k_source = 'discovery' then interval_attempts else 0 end,
      state = case when k_source = 'discovery' and not v_other or worker_id is not null or state = 'paused' then state
        when state = 'verifying' and not v_other then state else 'queued' end,
      due_at = case when worker_id is not null or state = 'paused' then null when k_source = 'discovery' and not v_other then due_at else p_now end,
      paused_from = case when state = 'paused' and v_other then 'queued' else paused_from end,
      rerun = case when worker_id is null then rerun when v_other then 2 when k_source = 'discovery' then rerun else greatest(rerun, 1::smallint) end,
      changed = pg_current_xact_id()
    where id = v_id
    returning * into c;
    made := false;
    return;
  end loop;
end $$;

-- ccr_request_all does that for many and says which is which by its place; it takes the locks of all names first, in one order, so that two
-- of these never wait for each other crosswise. Of a large number those that are new for sure, because their name comes once and no live
-- CCR has it, are made in one statement. That one is planned anew each time: a plan from the time when the table was small would walk
-- through all of it for each row. For the same reason no other plan made here may be a scan of all rows.
create or replace function ccr_request_all(p jsonb, p_now timestamptz) returns table (at bigint, made boolean, c ccr)
language plpgsql set enable_seqscan = off as $$
declare
  v_at bigint[];
  v_made ccr[];
  v_names text[];
begin
  perform pg_advisory_xact_lock(1128481326, h)
    from (select distinct hashtext(r ->> 'nameKey') as h from jsonb_array_elements(p) r order by 1) locks;
  if jsonb_array_length(p) >= 20 then
    execute $q$
      with q as (
        select e.at, r.*, count(*) over (partition by r."nameKey") as n,
          coalesce(r."resourceId", (
            select case when count(*) = 1 then min(o.id) end from resource o
            where r."resourceId" is null and not o.obsolete and o.name_key = r."nameKey" and (coalesce(r."domainKey", '') = ''
              or ccr_same_domain(o.domain_key, r."domainKey") or o.fqdn_key = r."nameKey" || '.' || r."domainKey"))) as resource
        from jsonb_array_elements($1) with ordinality e(request, at), jsonb_to_record(e.request) as r("nameKey" text, "domainKey" text,
          name text, domain text, addresses text[], "capKey" text, "resourceNames" text[], "resourceId" integer, "smbPort" integer,
          forced boolean, reinstall boolean, "includeDcs" boolean, "inspectOnly" boolean, source text, "requestedBy" text,
          "initialRequestDate" timestamptz, package text, wave integer)
      ), made as (
        insert into ccr as c (machine_key, resource_id, name, name_key, domain, domain_key, addresses, resource_names, smb_port, state,
          forced, reinstall, include_dcs, inspect_only, source, site, requested_by, package, first_requested_at, last_requested_at, due_at,
          cap_key, wave)
        select case when resource is not null then 'R' || resource when "domainKey" <> '' then "nameKey" || '.' || "domainKey"
            else "nameKey" end,
          resource, name, "nameKey", coalesce(domain, ''), coalesce("domainKey", ''), coalesce(addresses, '{}'),
          coalesce("resourceNames", '{}'), "smbPort", 'queued', coalesce(forced, false), coalesce(reinstall, false),
          coalesce("includeDcs", false), coalesce("inspectOnly", false), source, coalesce((select code from site where own), ''),
          "requestedBy", package, coalesce("initialRequestDate", $2), $2, $2, coalesce("capKey", ''), coalesce(q.wave, 0)
        from q where n = 1 and not exists (
          select from ccr o where o.name_key = q."nameKey" and coalesce(o.finished_at, 'infinity') = 'infinity')
        order by q.at
        on conflict (machine_key) where finished_at is null do nothing
        returning c as row
      ), named as (
        insert into ccr_name select (row).name_key from made on conflict do nothing
      )
      select array_agg(q.at), array_agg(made.row), array_agg(q."nameKey") from made join q on q."nameKey" = (made.row).name_key
    $q$ into v_at, v_made, v_names using p, p_now;
    return query select v_at[i], true, v_made[i] from generate_subscripts(v_at, 1) i;
  end if;
  return query select q.at, r.made, r.c from jsonb_array_elements(p) with ordinality as q(request, at), lateral ccr_request(q.request, p_now) r
    where q.request ->> 'nameKey' <> all (coalesce(v_names, '{}')) order by q.at;
end $$;

drop function ccr_claim(integer, integer, timestamptz, integer, integer);

-- ccr_claim hands due CCRs to a worker, oldest first and the waves in turn, and counts the attempt as begun. Claims wait for each other,
-- which makes the caps exact; a row that somebody else has locked is left for the next claim. It walks the queue from its head past what belongs to full
-- subnets and accounts, but no further than v_far rows: when that was not enough it looks at the head of each lane instead, so that its
-- cost does not depend on how many CCRs are queued. Where more than one wave has something due, the newest ones (v_waves) and what came
-- without a wave (0) each put their head beside that of the whole queue, and the wave of which the fewest are being worked comes first: a
-- push of one machine is in the next claim, whatever the number queued before it.
create function ccr_claim(p_worker integer, p_limit integer, p_now timestamptz, p_per_subnet integer, p_per_account integer, p_per_site integer)
returns setof ccr language plpgsql set enable_seqscan = off as $$
declare
  v_limit integer;
  v_window integer;
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
  v_limit := least(p_limit, p_per_site - (select count(*) from ccr where worker_id is not null));
  if v_limit < 1 then return; end if;
  v_window := v_limit * 2 + 64;
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
    with busy_subnet as (
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
      select both_heads.*, coalesce(b.n, 0) + row_number() over (partition by wave order by due_at, id) as turn
      from (select * from oldest union select * from newest) both_heads left join busy_wave b using (wave)
    ), ranked as (
      select h.id, h.due_at, h.turn,
        case when h.cap_key = '' then true
          else row_number() over (partition by h.cap_key order by h.turn, h.due_at, h.id) + coalesce(s.n, 0) <= p_per_subnet end as subnet_ok,
        case when h.account is null then true
          else row_number() over (partition by h.account order by h.turn, h.due_at, h.id) + coalesce(a.n, 0) <= p_per_account end as account_ok
      from head h left join busy_subnet s using (cap_key) left join busy_account a using (account)
    )
    select array(select id from ranked where subnet_ok and account_ok order by turn, due_at, id limit v_limit), (select count(*) from ranked)
      into v_ids, v_seen;
  else
    v_enough := (v_limit + 1) / 2;
    with busy_subnet as (
      select cap_key, count(*) as n from ccr where worker_id is not null and cap_key <> '' group by cap_key
    ), busy_account as (
      select account, count(*) as n from ccr where worker_id is not null and account is not null group by account
    ), head as (
      select id, cap_key, account, due_at
      from (select id, cap_key, account, due_at from ccr where due_at <= p_now order by due_at, id limit v_far) far
      where not v_subnets ? cap_key and (account is null or not v_accounts ? account) limit v_window
    ), ranked as (
      select h.id, h.due_at,
        case when h.cap_key = '' then true
          else row_number() over (partition by h.cap_key order by h.due_at, h.id) + coalesce(s.n, 0) <= p_per_subnet end as subnet_ok,
        case when h.account is null then true
          else row_number() over (partition by h.account order by h.due_at, h.id) + coalesce(a.n, 0) <= p_per_account end as account_ok
      from head h left join busy_subnet s using (cap_key) left join busy_account a using (account)
    )
    select array(select id from ranked where subnet_ok and account_ok order by due_at, id limit v_limit), (select count(*) from ranked)
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

-- ccr_use_account gives CCRs the place of an account that their attempts are about to use, or not: over all processes no more than p_cap
-- attempts have one account. It waits for claims and they for it, so that both count the same.
create function ccr_use_account(p_ids integer[], p_fences integer[], p_account text, p_cap integer) returns setof integer
language plpgsql set enable_seqscan = off as $$
begin
  perform pg_advisory_xact_lock(1128481388);
  return query
    with wish as (
      select c.id, c.account is not distinct from p_account as has from unnest(p_ids, p_fences) as w (id, fence)
      join ccr c on c.id = w.id and c.fence = w.fence and c.worker_id is not null
    ), given as (
      select wish.id from wish where has
      union all
      (select wish.id from wish where not has order by wish.id limit greatest(0, p_cap - (
        select count(*) from ccr b where b.worker_id is not null and b.account = p_account)))
    ), kept as (
      update ccr c set account = p_account, changed = pg_current_xact_id() from given g
      where c.id = g.id and c.account is distinct from p_account
    )
    select given.id from given;
end $$;
