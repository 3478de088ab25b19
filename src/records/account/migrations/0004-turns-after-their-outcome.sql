-- account_enter as in 0003, but what is under way is counted before the account is looked at. A turn and what its logon told of the account end
-- in one transaction; each statement here sees what was committed before it began. Counted afterwards, a turn could be over while the account
-- still looked as it did before, and one more logon went out with an account that had just been stopped.
create or replace function account_enter(p_holder integer, p_ids integer[], p_keys text[], p_ccrs integer[], p_held text[], p_now timestamptz,
  p_until timestamptz, p_warm timestamptz, p_together integer)
returns table (n integer, answer text, together integer) language plpgsql as $$
declare
  v_id integer;
  v_i integer;
  v_state text;
  v_local boolean;
  v_proven boolean;
  v_mine bigint;
  v_all bigint;
  v_room integer;
  v_waits boolean;
begin
  for v_id in select distinct a from unnest(p_ids) a order by a loop
    perform pg_advisory_xact_lock(1094927444, v_id);
    -- A turn of the future was taken before the clock was set back.
    delete from account_turn d where (d.account_id, d.machine_key) in (
      select t.account_id, t.machine_key from account_turn t where t.account_id = v_id and (t.until <= p_now
        or t.until > p_until + (p_until - p_now)
        or t.holder = p_holder and t.account_id || ' ' || t.machine_key <> all (p_held)
        or t.worker_id is not null and not exists (select from ccr_worker w where w.id = t.worker_id and w.ended_at is null))
      for update skip locked);
    select count(*) filter (where t.holder = p_holder), count(*) into v_mine, v_all from account_turn t where t.account_id = v_id;
    select a.state, a.username ilike '\%machinename\%\\%', coalesce(a.state = 'usable'
      and a.refused_by is null and a.worked_at between p_warm and p_now + (p_now - p_warm), false)
      into v_state, v_local, v_proven from account a where a.id = v_id;
    v_proven := coalesce(v_proven or v_local, false);
    -- An account of each machine's own is another one on each.
    together := case when v_local then p_together when v_proven then least(p_together, greatest(1, ceil(p_together / (1.0 + (
      select count(*) from account_waiting w where w.account_id = v_id and w.holder <> p_holder
        and w.at between p_now - interval '1 second' and p_now + interval '1 second'))))) else 1 end;
    v_room := case when v_local then p_together
      else least(together - v_mine, case when v_proven then p_together else 1 end - v_all) end;
    v_waits := false;
    for v_i in select i from generate_subscripts(p_ids, 1) i where p_ids[i] = v_id order by i loop
      n := v_i;
      answer := case when coalesce(v_state, 'stopped') = 'stopped' then 'stopped' else 'wait' end;
      if answer = 'wait' and v_room > 0 then
        insert into account_turn values (v_id, p_keys[v_i], p_holder, (select c.worker_id from ccr c where c.id = p_ccrs[v_i]), p_until)
          on conflict do nothing;
        if found then
          v_room := v_room - 1;
          answer := 'go';
        end if;
      end if;
      v_waits := v_waits or answer = 'wait';
      return next;
    end loop;
    if v_waits then
      insert into account_waiting values (v_id, p_holder, p_now) on conflict (account_id, holder) do update set at = excluded.at;
      delete from account_waiting w where w.account_id = v_id and w.at not between p_now - interval '1 minute' and p_now + interval '1 minute';
    end if;
  end loop;
end $$;
