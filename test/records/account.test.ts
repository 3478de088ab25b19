import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock, systemClock } from '#base/clock';
import { isCode } from '#base/errors';
import { silentLog } from '#base/log';
import { AccountRecord, logonName, type Scope } from '#records/account';
import { CcrRecord } from '#records/ccr';
import { openDatabase } from '#store/database';
import { testDatabase, type TestDatabase } from '#test/database';

const SEALED = new Uint8Array([1, 2, 3, 250]);
const WRONG = 1326;

let base: TestDatabase;
let clock: ManualClock;
let accounts: AccountRecord;

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query('truncate account, account_host, account_refusal, account_turn, account_waiting');
  clock = new ManualClock();
  accounts = new AccountRecord(base.db, clock);
});

const add = (name: string, scope: Scope = { kind: 'site' }, username = 'CORP\\push') =>
  accounts.add({ name, username, sealedPassword: SEALED, scope });
const state = async (name: string) => (await accounts.list()).find((a) => a.name === name)!.state;
const chosen = async (machine: Parameters<AccountRecord['chooseFor']>[0]) =>
  (await accounts.chooseFor(machine)).map((a) => a.name);

/** prove lets an account work on a machine, as after a first successful logon. */
async function prove(id: number, key = 'FIRST'): Promise<void> {
  assert.equal(await accounts.enter(id, key), true);
  await accounts.worked(id, key);
}

test('the more exact scope comes first, and at most two accounts are shown to a machine', async () => {
  await add('site');
  await add('net16', { kind: 'subnet', cidr: '10.1.0.0/16' });
  await add('net24', { kind: 'subnet', cidr: '10.1.2.0/24' });
  await add('hosts', { kind: 'host', pattern: 'srv-*' });
  await add('host', { kind: 'host', pattern: 'srv-db?' });
  await add('fqdn', { kind: 'host', pattern: '*.corp.example' });
  const machine = { name: 'SRV-DB1', addresses: ['10.1.2.3'] };
  assert.deepEqual(await chosen(machine), ['host', 'hosts']);
  assert.deepEqual(await chosen({ name: 'PC1', addresses: ['10.1.2.3'] }), ['net24', 'net16']);
  assert.deepEqual(await chosen({ name: 'PC1', addresses: ['10.1.9.3'] }), ['net16', 'site']);
  assert.deepEqual(await chosen({ name: 'PC1', domain: 'corp.example' }), ['fqdn', 'site']);
  assert.deepEqual(await chosen({ name: 'PC1', addresses: ['2001:db8::1'] }), ['site']);
});

test('the account that worked on a machine is tried there first, on others not', async () => {
  await add('host', { kind: 'host', pattern: 'pc*' });
  const site = await add('site');
  await prove(site.id, 'R7');
  assert.deepEqual(await chosen({ name: 'PC1', resourceId: 7 }), ['site', 'host']);
  assert.deepEqual(await chosen({ name: 'PC1', machineKey: 'R7' }), ['site', 'host']);
  assert.deepEqual(await chosen({ name: 'PC2', resourceId: 8 }), ['host', 'site']);
  // What it remembers does not widen its scope.
  await base.db.query("update account set scope_kind = 'host', scope_value = 'SRV*' where name = 'site'");
  assert.deepEqual(await chosen({ name: 'PC1', resourceId: 7 }), ['host']);
});

test('locked, disabled and expired accounts are stopped for everybody at once', async () => {
  for (const win32 of [1909, 1331, 1330, 1793]) {
    const { id, name } = await add(`a${win32}`);
    await prove(id);
    assert.equal(await accounts.enter(id, 'PC1'), true);
    assert.ok(await accounts.failed(id, 'PC1', win32), String(win32));
    assert.equal(await state(name), 'stopped');
    assert.deepEqual(await chosen({ name: 'PC2' }), []);
    assert.equal(await accounts.enter(id, 'PC2'), false);
    const listed = (await accounts.list()).find((a) => a.name === name)!;
    assert.equal(listed.stopCode, win32);
    assert.ok(listed.stopReason);
  }
});

test('a wrong password from two machines in a row stops an account, from one machine twice it does not', async () => {
  const { id } = await add('push');
  await prove(id);
  for (const key of ['PC1', 'PC1', 'PC1']) {
    assert.equal(await accounts.enter(id, key), true);
    assert.equal(await accounts.failed(id, key, WRONG), undefined);
  }
  assert.equal(await state('push'), 'usable');
  await prove(id, 'PC2');
  assert.equal(await accounts.enter(id, 'PC3'), true);
  assert.equal(await accounts.failed(id, 'PC3', WRONG), undefined);
  assert.equal(await accounts.enter(id, 'PC4'), true);
  assert.match((await accounts.failed(id, 'PC4', WRONG))!, /two machines/);
  assert.equal(await state('push'), 'stopped');
});

test('a new, changed or removed account is announced to those that wait for one, a stopped one is not', async () => {
  const heard: string[] = [];
  const end = await base.db.listen('account', (name) => heard.push(name));
  const { id } = await add('a');
  await accounts.failed(id, 'PC1', 1909);
  assert.equal(await state('a'), 'stopped');
  await accounts.resume('a');
  await accounts.remove('a');
  // Announcements come in their order, so behind the last of these none is on its way.
  await base.db.notify('account', 'last');
  while (heard.at(-1) !== 'last') await new Promise(setImmediate);
  await end();
  assert.deepEqual(
    heard.filter((name) => name !== ''),
    ['a', 'a', 'a', 'last'],
  );
});

test('answers that are about the machine do not count against the account', async () => {
  const { id } = await add('push');
  await prove(id);
  for (const [i, win32] of [5, 1385, 53, 1789, 5].entries()) {
    assert.equal(await accounts.enter(id, `PC${i}`), true);
    assert.equal(await accounts.failed(id, `PC${i}`, win32), undefined);
  }
  assert.equal(await state('push'), 'usable');
});

test('an account of each machine is not stopped by what some machines say', async () => {
  const { id } = await add('local', { kind: 'site' }, '.\\admin');
  for (const key of ['PC1', 'PC2', 'PC3']) {
    assert.equal(await accounts.enter(id, key), true);
    assert.equal(await accounts.failed(id, key, key === 'PC2' ? 1331 : WRONG), undefined);
  }
  assert.deepEqual(await chosen({ name: 'PC4' }), ['local']);
  assert.equal((await accounts.list())[0]!.username, '%machinename%\\admin');
});

test('256 attempts with a new account and a wrong password make two logons, from two processes', async () => {
  const { id } = await add('push');
  const other = await openDatabase({
    dataDir: '/nonexistent',
    url: base.url,
    clock: systemClock,
    log: silentLog,
    connections: 4,
  });
  const processes = [new AccountRecord(base.db, systemClock), new AccountRecord(other, systemClock)];
  let logons = 0;
  let inside = 0;
  let together = 0;
  await Promise.all(
    Array.from({ length: 256 }, async (_, i) => {
      const record = processes[i % 2]!;
      const key = `PC${i}`;
      if (!(await record.enter(id, key))) return;
      together = Math.max(together, ++inside);
      logons++;
      await new Promise(setImmediate);
      inside--;
      await record.failed(id, key, WRONG);
    }),
  );
  await other.close();
  assert.equal(together, 1);
  assert.equal(logons, 2);
  assert.equal(await state('push'), 'stopped');
});

test('a turn that ends while another is asked for: what it told of the account counts', async () => {
  const { id } = await add('push');
  assert.equal(await accounts.enter(id, 'PC1'), true);
  const other = new AccountRecord(base.db, systemClock);
  let asked: Promise<boolean> | undefined;
  await base.db.transaction(async (tx) => {
    await tx.query('lock table account_turn in access exclusive mode');
    asked = other.enter(id, 'PC2');
    // It is under way, and has come as far as the turns.
    const waits = `select from pg_locks where relation = 'account_turn'::regclass and not granted`;
    for (let i = 0; (await base.db.query(waits)).length === 0; i++) {
      assert.ok(i < 2000, 'the question never came to the turns');
      await systemClock.sleep(5);
    }
    await tx.query(`update account set state = 'stopped', stop_reason = 'it is locked out' where id = $1`, [id]);
    await tx.query('delete from account_turn where account_id = $1', [id]);
  });
  assert.equal(await asked, false);
});

test('once an account has worked, many log on, but not more together than a lockout threshold', async () => {
  const { id } = await add('push');
  const record = new AccountRecord(base.db, systemClock);
  let inside = 0;
  let together = 0;
  let worked = 0;
  await Promise.all(
    Array.from({ length: 40 }, async (_, i) => {
      assert.equal(await record.enter(id, `PC${i}`), true);
      together = Math.max(together, ++inside);
      // Behind the first one each waits a while for company, however slow the machine is.
      for (let turn = 0; turn < 1000 && worked > 0 && together < 9; turn++) await new Promise(setImmediate);
      inside--;
      await record.worked(id, `PC${i}`);
      worked++;
    }),
  );
  assert.ok(together > 1 && together <= 8, String(together));
  assert.equal((await accounts.list())[0]!.hosts, 40);
});

test(
  'over two processes no more log on together than a lockout threshold, and each gets its share',
  { timeout: 60_000 },
  async (t) => {
    const { id } = await add('push');
    await accounts.enter(id, 'FIRST');
    await accounts.worked(id, 'FIRST');
    await base.db.query('update account set worked_at = $1', [new Date()]);
    const inside = new Set<string>();
    let together = 0;
    let left = 0;
    let bothIn = 0;
    let ready = 0;
    let first: (() => void) | undefined;
    const children = ['A', 'B'].map((name) =>
      fork(new URL('../support/account-child.ts', import.meta.url), [base.url, String(id), name, '60'], { silent: true }),
    );
    t.after(() => children.forEach((child) => child.kill('SIGKILL')));
    const visits = children.map(async (child) => {
      child.on('message', ([what, key]: ['ready' | 'in' | 'out', string]) => {
        if (what === 'ready') {
          if (++ready === 2) for (const one of children) one.send('ready');
          return;
        }
        if (what === 'in') {
          inside.add(key);
          together = Math.max(together, inside.size);
          if (new Set([...inside].map((one) => one[0])).size === 2) bothIn++;
          // The first one stays until the other process has had a turn beside it, however late that one comes.
          if (left === 0 && inside.size === 1) {
            first = () => child.send(key);
            return;
          }
          if (bothIn > 0) {
            first?.();
            first = undefined;
          }
        } else {
          inside.delete(key);
          left++;
        }
        // The turn is ended in the database only after this: what is counted here is never more than what was under way.
        child.send(key);
      });
      const [code] = (await once(child, 'exit')) as [number];
      assert.equal(code, 0);
    });
    await Promise.all(visits);
    assert.equal(left, 120);
    assert.ok(bothIn > 0, 'both had turns at a time');
    assert.ok(together > 1 && together <= 8, String(together));
    assert.deepEqual(await base.db.query('select * from account_turn'), []);
  },
);

test("the turn of an examination is nobody else's while the CCR of its machine waits; that of a dead worker is", async () => {
  const { id } = await add('push');
  const ccr = new CcrRecord(base.db, clock);
  const [made] = await ccr.requestMany([{ name: 'PC1', source: 'push', requestedBy: 'test' }]);
  const here = new AccountRecord(base.db, clock);
  const there = new AccountRecord(base.db, clock);
  const { machineKey } = made!.ccr;
  const looks = async (wish: Promise<boolean>, trips = 5) => {
    let got = false;
    wish.then(
      (may) => (got = may),
      () => {},
    );
    for (let look = 0; look < 8 && !got; look++) {
      await clock.advance(300);
      // What was asked meanwhile has been answered.
      for (let trip = 0; trip < trips && !got; trip++) {
        await base.db.query('select 1');
        await new Promise(setImmediate);
      }
    }
    return got;
  };
  assert.equal(await here.enter(id, machineKey), true);
  const abort = new AbortController();
  const waiting = there.enter(id, 'PC2', abort.signal);
  assert.equal(await looks(waiting), false, 'the examination has the turn');
  abort.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  await here.left(id, machineKey);
  // An attempt of a worker that died while it had the turn.
  const worker = await ccr.claims.registerWorker('one');
  const [claimed] = await ccr.claims.take({ worker, limit: 1, caps: { perSubnet: 8, perAccount: 8, perSite: 8 } });
  assert.equal(await here.enter(id, machineKey, undefined, claimed!.ccr.id), true);
  const next = new AbortController();
  const behind = there.enter(id, 'PC2', next.signal);
  assert.equal(await looks(behind), false, 'the worker lives');
  await worker.leave(clock.now());
  assert.equal(await looks(behind, 200), true);
  await there.left(id, 'PC2');
});

test('a turn whose answer or end was lost on the way is cleared by the next question of the same process', async () => {
  const { id } = await add('push');
  assert.equal(await accounts.enter(id, 'PC1'), true);
  const [turn] = await base.db.query<{ holder: number }>('select holder from account_turn');
  await accounts.left(id, 'PC1');
  await base.db.query('insert into account_turn values ($1, $2, $3, null, $4)', [
    id,
    'LOST',
    turn!.holder,
    new Date(clock.now().getTime() + 60_000),
  ]);
  assert.equal(await accounts.enter(id, 'PC2'), true);
  assert.deepEqual(
    (await base.db.query<{ machine_key: string }>('select machine_key from account_turn')).map((row) => row.machine_key),
    ['PC2'],
  );
  await accounts.left(id, 'PC2');
});

test('several that look at one machine log on there one after the other, unproven or proven, and from two processes', async () => {
  const { id } = await add('push');
  const other = await openDatabase({
    dataDir: '/nonexistent',
    url: base.url,
    clock: systemClock,
    log: silentLog,
    connections: 4,
  });
  const processes = [new AccountRecord(base.db, systemClock), new AccountRecord(other, systemClock)];
  const together = async (records: AccountRecord[], end: (record: AccountRecord) => Promise<unknown>) => {
    let inside = 0;
    let most = 0;
    const visits = records.map(async (record) => {
      assert.equal(await record.enter(id, 'PC1'), true);
      most = Math.max(most, ++inside);
      await new Promise(setImmediate);
      inside--;
      await end(record);
    });
    await Promise.all(visits);
    return most;
  };
  const [here, there] = processes as [AccountRecord, AccountRecord];
  assert.equal(await together([here, there, here, there], (record) => record.failed(id, 'PC1', WRONG)), 1);
  assert.equal(await together([here, here], (record) => record.worked(id, 'PC1')), 1);
  assert.equal(await together([here, here, here], (record) => record.worked(id, 'PC1')), 1, 'a proven one too');
  // Others do not wait behind a machine that has to.
  assert.equal(await here.enter(id, 'PC1'), true);
  const again = here.enter(id, 'PC1');
  assert.equal(await here.enter(id, 'PC2'), true);
  await here.left(id, 'PC1');
  assert.equal(await again, true);
  await here.left(id, 'PC1');
  await here.left(id, 'PC2');
  await other.close();
});

test('wrong passwords at the same moment are counted one after the other, also those of two processes', async () => {
  const { id } = await add('push');
  const other = await openDatabase({
    dataDir: '/nonexistent',
    url: base.url,
    clock: systemClock,
    log: silentLog,
    connections: 4,
  });
  const processes = [new AccountRecord(base.db, systemClock), new AccountRecord(other, systemClock)];
  assert.equal(await processes[0]!.enter(id, 'FIRST'), true);
  await processes[0]!.worked(id, 'FIRST');
  const keys = ['PC1', 'PC2', 'PC3', 'PC4'];
  for (const [i, key] of keys.entries()) assert.equal(await processes[i % 2]!.enter(id, key), true);
  const said = await Promise.all(keys.map((key, i) => processes[i % 2]!.failed(id, key, WRONG)));
  await other.close();
  assert.equal(said.filter((reason) => reason !== undefined).length, 1, 'one of them stops it');
  assert.equal(await state('push'), 'stopped');
});

test('after a while without a success one machine goes first again', async () => {
  const { id } = await add('push');
  await prove(id);
  await clock.advance(10 * 60_000);
  assert.equal(await accounts.enter(id, 'PC1'), true);
  let second = false;
  const waiting = accounts.enter(id, 'PC2').then((may) => (second = may));
  await new Promise(setImmediate);
  assert.equal(second, false);
  await accounts.left(id, 'PC1');
  await waiting;
  assert.equal(second, true);
  await accounts.worked(id, 'PC2');
});

test('a turn that is aborted while it waits leaves the line', async () => {
  const { id } = await add('push');
  assert.equal(await accounts.enter(id, 'PC1'), true);
  const abort = new AbortController();
  const waiting = accounts.enter(id, 'PC2', abort.signal);
  abort.abort(new Error('stopped'));
  await assert.rejects(waiting, /stopped/);
  await accounts.worked(id, 'PC1');
  assert.equal(await accounts.enter(id, 'PC3'), true);
  await accounts.worked(id, 'PC3');
});

test('a new password or a resume makes an account unproven again', async () => {
  const { id } = await add('Push one');
  await accounts.enter(id, 'PC1');
  await accounts.failed(id, 'PC1', 1909);
  assert.equal((await accounts.resume('push ONE')).state, 'unproven');
  await prove(id);
  assert.equal(await state('Push one'), 'usable');
  const changed = await accounts.setPassword('push one', new Uint8Array([9]));
  assert.equal(changed.state, 'unproven');
  assert.deepEqual((await accounts.chooseFor({ name: 'X' }))[0]!.sealedPassword, new Uint8Array([9]));
  await accounts.remove('push one');
  await assert.rejects(accounts.resume('push one'), (e) => isCode(e, 'PP_ACCOUNT_UNKNOWN'));
});

test('the list never holds a password, sealed or not', async () => {
  await add('push');
  assert.doesNotMatch(JSON.stringify(await accounts.list()), /password/i);
});

test('names of users and scopes that cannot work are refused', async () => {
  for (const username of ['admin', '\\admin', 'a/b\\c', 'a@b@c', 'CORP\\', 'co rp\\x', 'CORP\\a:b', ''])
    await assert.rejects(add('x', { kind: 'site' }, username), (e) => isCode(e, 'PP_ACCOUNT_USERNAME'), username);
  for (const scope of [
    { kind: 'subnet', cidr: '10.0.0.0' },
    { kind: 'subnet', cidr: '10.0.0.0/33' },
    { kind: 'host', pattern: 'a b' },
    { kind: 'host', pattern: '' },
  ] as const)
    await assert.rejects(add('x', scope), (e) => isCode(e, 'PP_ACCOUNT_SCOPE'));
  await add('one');
  await assert.rejects(add('ONE'), (e) => isCode(e, 'PP_ACCOUNT_EXISTS'));
  assert.deepEqual(await accounts.chooseFor({ name: 'Z', addresses: ['not an address'] }).then((a) => a.length), 1);
});

test('a user name is taken apart for a machine', () => {
  assert.deepEqual(logonName('CORP\\push', 'PC1'), { domain: 'CORP', username: 'push' });
  assert.deepEqual(logonName('%MachineName%\\admin', 'pc1.corp.example'), { domain: 'pc1', username: 'admin' });
  assert.deepEqual(logonName('push@corp.example', 'PC1'), { domain: '', username: 'push@corp.example' });
});
