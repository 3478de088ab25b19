-- The two hot writes that need more than one statement under one lock. They are called with one round trip each.

create function ccr_same_domain(a text, b text) returns boolean language sql immutable parallel safe as $$
  select a <> '' and b <> '' and (a = b
    or (strpos(a, '.') = 0 and starts_with(b, a || '.'))
    or (strpos(b, '.') = 0 and starts_with(a, b || '.')))
$$;

-- ccr_again tells whether an outcome leads back to the queue because the CCR was asked for meanwhile.
create function ccr_again(rerun smallint, outcome text) returns boolean language sql immutable parallel safe as $$
  select case when outcome = 'verifying' then false when outcome in ('complete', 'skipped') then rerun = 2 else rerun > 0 end
$$;

-- ccr_request makes a CCR or merges into the live one of that machine. Requests for one short name wait for each other.
create function ccr_request(p jsonb, p_now timestamptz, out made boolean, out c ccr) language plpgsql as $$
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
        reinstall, include_dcs, inspect_only, source, site, requested_by, package, first_requested_at, last_requested_at, due_at, cap_key)
      values (v_key, v_resource, p ->> 'name', k_name, coalesce(p ->> 'domain', ''), k_domain, v_addresses, v_names,
        (p ->> 'smbPort')::integer, 'queued', coalesce((p ->> 'forced')::boolean, false), coalesce((p ->> 'reinstall')::boolean, false),
        coalesce((p ->> 'includeDcs')::boolean, false), coalesce((p ->> 'inspectOnly')::boolean, false), k_source,
        coalesce((select code from site where own), ''), p ->> 'requestedBy', p ->> 'package',
        coalesce((p ->> 'initialRequestDate')::timestamptz, p_now), p_now, p_now, coalesce(p ->> 'capKey', ''))
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
create function ccr_request_all(p jsonb, p_now timestamptz) returns table (at bigint, made boolean, c ccr)
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
          "initialRequestDate" timestamptz, package text)
      ), made as (
        insert into ccr as c (machine_key, resource_id, name, name_key, domain, domain_key, addresses, resource_names, smb_port, state,
          forced, reinstall, include_dcs, inspect_only, source, site, requested_by, package, first_requested_at, last_requested_at, due_at,
          cap_key)
        select case when resource is not null then 'R' || resource when "domainKey" <> '' then "nameKey" || '.' || "domainKey"
            else "nameKey" end,
          resource, name, "nameKey", coalesce(domain, ''), coalesce("domainKey", ''), coalesce(addresses, '{}'),
          coalesce("resourceNames", '{}'), "smbPort", 'queued', coalesce(forced, false), coalesce(reinstall, false),
          coalesce("includeDcs", false), coalesce("inspectOnly", false), source, coalesce((select code from site where own), ''),
          "requestedBy", package, coalesce("initialRequestDate", $2), $2, $2, coalesce("capKey", '')
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

-- ccr_claim hands due CCRs to a worker, oldest first, and counts the attempt as begun. Claims wait for each other, which makes the caps
-- exact; a row that somebody else has locked is left for the next claim. It walks the queue from its head past what belongs to full
-- subnets and accounts, but no further than v_far rows: when that was not enough it looks at the head of each lane instead, so that its
-- cost does not depend on how many CCRs are queued.
create function ccr_claim(p_worker integer, p_limit integer, p_now timestamptz, p_per_subnet integer, p_per_account integer)
returns setof ccr language plpgsql set enable_seqscan = off as $$
declare
  v_window constant integer := p_limit * 2 + 64;
  v_far constant integer := 10000;
  -- Objects, because looking a key up in one takes the same time however many subnets are full.
  v_subnets jsonb;
  v_accounts jsonb;
  v_ids integer[];
  v_seen integer;
begin
  perform pg_advisory_xact_lock(1128481388);
  if not exists (select from ccr_worker where id = p_worker and ended_at is null) then return; end if;
  select coalesce(jsonb_object_agg(cap_key, true), '{}') into v_subnets
    from (select cap_key from ccr where worker_id is not null and cap_key <> '' group by cap_key having count(*) >= p_per_subnet) s;
  select coalesce(jsonb_object_agg(account, true), '{}') into v_accounts
    from (select account from ccr where worker_id is not null and account is not null group by account having count(*) >= p_per_account) a;
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
  select array(select id from ranked where subnet_ok and account_ok order by due_at, id limit p_limit), (select count(*) from ranked)
    into v_ids, v_seen;
  -- Too little, though the window was full or the walk ended early: there may be lanes with room further behind.
  if cardinality(v_ids) * 2 < p_limit and (v_seen = v_window
      or exists (select from (select from ccr where due_at <= p_now order by due_at, id offset v_far limit 1) further)) then
    v_ids := ccr_claim_lanes(p_limit, p_now, p_per_subnet, p_per_account);
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

-- ccr_claim_lanes walks from lane to lane (subnet and account) by the index and takes the oldest of each that has room.
create function ccr_claim_lanes(p_limit integer, p_now timestamptz, p_per_subnet integer, p_per_account integer)
returns integer[] language sql as $$
  with recursive full_subnet as materialized (
    select cap_key, count(*) as n from ccr where worker_id is not null and cap_key <> '' group by cap_key
  ), full_account as materialized (
    select account, count(*) as n from ccr where worker_id is not null and account is not null group by account
  ), lane as (
    (select cap_key, account from ccr where due_at is not null order by cap_key, account limit 1)
    union all
    select next.cap_key, next.account from lane, lateral (
      (select c.cap_key, c.account from ccr c
        where c.due_at is not null and c.cap_key = lane.cap_key and lane.account is not null and (c.account > lane.account)
        order by c.cap_key, c.account limit 1)
      union all
      (select c.cap_key, c.account from ccr c
        where c.due_at is not null and c.cap_key = lane.cap_key and lane.account is not null and c.account is null
        order by c.cap_key, c.account limit 1)
      union all
      (select c.cap_key, c.account from ccr c where c.due_at is not null and c.cap_key > lane.cap_key
        order by c.cap_key, c.account limit 1)
      limit 1
    ) next
  ), open as (
    select l.cap_key, l.account,
      case when l.cap_key = '' then p_limit else p_per_subnet - coalesce(s.n, 0) end as subnet_room,
      case when l.account is null then p_limit else p_per_account - coalesce(a.n, 0) end as account_room
    from lane l left join full_subnet s using (cap_key) left join full_account a using (account)
  ), heads as (
    select o.cap_key, o.account, o.subnet_room, o.account_room, h.id, h.due_at from open o, lateral (
      select c.id, c.due_at from ccr c
      where c.due_at <= p_now and c.cap_key = o.cap_key and c.account = o.account
      order by c.due_at, c.id limit greatest(0, least(p_limit, o.subnet_room, o.account_room))
    ) h where o.account is not null and o.subnet_room > 0 and o.account_room > 0
    union all
    select o.cap_key, o.account, o.subnet_room, o.account_room, h.id, h.due_at from open o, lateral (
      select c.id, c.due_at from ccr c
      where c.due_at <= p_now and c.cap_key = o.cap_key and c.account is null
      order by c.due_at, c.id limit greatest(0, least(p_limit, o.subnet_room))
    ) h where o.account is null and o.subnet_room > 0
  ), ranked as (
    select id, due_at,
      cap_key = '' or row_number() over (partition by cap_key order by due_at, id) <= subnet_room as subnet_ok,
      account is null or row_number() over (partition by account order by due_at, id) <= account_room as account_ok
    from heads
  ), picked as (
    select id from ranked where subnet_ok and account_ok order by due_at, id limit p_limit
  )
  select array(select id from picked)
$$;
