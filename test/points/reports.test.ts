import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { manual, TestSite } from '#test/points';

/** What a report must be able to tell apart, on a real database: machines in each state, and what they said of themselves. */

const DAY = 86_400_000;

interface Estate {
  site: TestSite;
  /** run gives the rows of a report, all pages of it. */
  run: (name: string, query?: Record<string, string | number>) => Promise<Record<string, unknown>[]>;
  call: Awaited<ReturnType<TestSite['console']>>['call'];
  say: (name: string, stateId: number, more?: object) => Promise<void>;
  at: (daysAgo: number) => Date;
}

async function estate(t: TestContext): Promise<Estate> {
  const site = await TestSite.make(t, manual());
  const { db, at } = { db: site.parts.database, at: (days: number) => new Date(site.clock.now().getTime() - days * DAY) };
  await site.records.boundary.add(['subnet:10.1.0.0/16'], { by: 'test' });
  const { call } = await site.console();
  await site.know(
    { name: 'PC1', domain: 'CORP', addresses: ['10.1.0.1'], macs: ['02-00-00-00-00-01'], os: 'Windows 11' },
    { name: 'PC2', domain: 'CORP', addresses: ['10.1.0.2'], macs: ['02-00-00-00-00-02', '02-00-00-00-00-09'] },
    { name: 'PC3', domain: 'CORP', addresses: ['10.1.0.3'], macs: ['02-00-00-00-00-09'] },
    { name: 'FAR', domain: 'CORP', addresses: ['192.0.2.7'] },
  );
  const client = (
    name: string,
    version: string,
    more: { days?: number; hardware?: string; approval?: string; blocked?: boolean },
  ) =>
    db.query(
      `insert into client (guid, public_key, key_hash, request_id, resource_id, name, name_key, domain, domain_key, hardware_id, version, site,
         approval, approved_by, proven_by, blocked, registered_at, last_seen_at)
       select $1, 'k', decode(md5($1), 'hex'), gen_random_uuid(), (select id from resource where name_key = $2), $2, $2, 'CORP', 'CORP', $3, $4, 'P01',
         $5, 'test', case when $5 = 'approved' then 'token' end, $6, $7, $7`,
      [
        `GUID:${randomUUID()}`,
        name,
        more.hardware ?? `hardware of ${name}`,
        version,
        more.approval ?? 'approved',
        more.blocked ?? false,
        at(more.days ?? 1),
      ],
    );
  await client('PC1', '1.0.0', { hardware: 'SAME-BOARD' });
  await client('OTHER', '1.0.1', { hardware: 'SAME-BOARD', approval: 'pending', days: 40 });
  await client('THIRD', '1.0.1', { blocked: true });
  const ccr = (name: string, state: string, code: number | null, error: string | null, finished: Date | null) =>
    db.query(
      `insert into ccr (machine_key, resource_id, name, name_key, domain, state, source, site, requested_by, first_requested_at, last_requested_at, attempts,
         last_error_code, last_error, last_error_text, finished_at)
       values ($1, (select id from resource where name_key = $2), $2, $2, 'CORP', $3, 'push', 'P01', 'test', $4, $4, 2, $5, $6, $7, $8)`,
      [`${name}${state}`, name, state, at(3), code, error, error && `=HYPERLINK("http://evil","${name}")`, finished],
    );
  await ccr('PC1', 'complete', null, null, at(2));
  await ccr('PC2', 'retry', 53, 'PP_NET_REFUSED', null);
  await ccr('PC3', 'skipped', 1305, 'PP_PUSH_OS_UNSUPPORTED', at(1));
  await ccr('PC3', 'failed', 5, 'PP_SMB_NOT_ADMIN', at(90));
  const say: Estate['say'] = async (name, stateId, more = {}) => {
    const said = {
      topicType: 800,
      topicId: randomUUID(),
      stateId,
      at: site.clock.now().toISOString(),
      name,
      domain: 'CORP',
      site: 'P01',
      ...more,
    };
    await site.records.fallbackStatus.add(said, '10.1.0.9');
    await (site.clock as ReturnType<typeof manual>).advance(1000);
  };
  const run: Estate['run'] = async (name, query = {}) => {
    const rows: Record<string, unknown>[] = [];
    for (let cursor: string | undefined; ;) {
      const search = new URLSearchParams({ limit: '2', ...query, ...(cursor !== undefined && { cursor }) } as Record<
        string,
        string
      >);
      const { status, json } = await call('GET', `/reports/${name}?${search.toString()}`);
      assert.equal(status, 200, JSON.stringify(json));
      const page = json as { items: Record<string, unknown>[]; next?: string };
      rows.push(...page.items);
      if (page.next === undefined) return rows;
      cursor = page.next;
    }
  };
  return { site, run, call, say, at };
}

const pick = (rows: Record<string, unknown>[], ...names: string[]) => rows.map((row) => names.map((name) => row[name]));

test('every report answers, with the columns it names and no others, for a site, a collection and days', async (t) => {
  const { call, run, say } = await estate(t);
  for (const id of [100, 313, 400, 500, 607, 700]) await say(`M${id}`, id);
  const { items } = (await call('GET', '/reports')).json as {
    items: { name: string; parameters: string[]; columns: { name: string; means: string }[] }[];
  };
  assert.equal(items.length, 20);
  for (const { name, parameters, columns } of items) {
    const rows = await run(name);
    assert.ok(rows.length > 0 || name === 'not-discovered', `${name} has no rows`);
    for (const row of rows) assert.deepEqual(Object.keys(row).toSorted(), columns.map((c) => c.name).toSorted(), name);
    assert.ok(columns.every(({ means }) => means.length > 3));
    await run(name, {
      site: 'P01',
      collection: 'All Systems',
      ...(parameters.includes('days') && { days: 7 }),
    });
  }
});

test('client push: how CCRs stand, with their errors; what ended long ago is left out', async (t) => {
  const { run } = await estate(t);
  assert.deepEqual(pick(await run('push-status-summary'), 'state', 'code', 'error', 'ccrs', 'percent'), [
    ['complete', 0, null, 1, 33.3],
    ['retry', 53, 'PP_NET_REFUSED', 1, 33.3],
    ['skipped', 1305, 'PP_PUSH_OS_UNSUPPORTED', 1, 33.3],
  ]);
  assert.deepEqual(pick(await run('push-status-details', { days: 365 }), 'name', 'state'), [
    ['PC1', 'complete'],
    ['PC2', 'retry'],
    ['PC3', 'skipped'],
    ['PC3', 'failed'],
  ]);
});

test('client push, at a site with sites below: how their CCRs stand, as they told it, in pages and by collection', async (t) => {
  const { site, run, call, at } = await estate(t);
  for (const code of ['S01', 'S02']) await site.records.site.learn({ code, kind: 'secondary', parent: 'P01' });
  for (const [code, id, name, state, ended] of [
    ['S01', 1, 'PC2', 'complete', at(2)],
    ['S01', 2, 'PC9', 'retry', null],
    ['S02', 1, 'PC3', 'failed', at(90)],
    ['S02', 2, 'FAR', 'failed', at(3)],
  ] as const)
    await site.parts.database.query(
      `insert into branch_ccr (site, id, name, name_key, domain, state, source, attempts, last_error_code, last_error, first_requested_at, finished_at, received_at)
       values ($1, $2, $3, $3, 'CORP', $4, 'push', 3, 53, 'PP_NET_REFUSED', $5, $6, $5)`,
      [code, id, name, state, at(1), ended],
    );
  const details = async (query = {}) =>
    (await run('push-status-details', query)).map((row) =>
      ['site', 'name', 'state'].map((column) => String(row[column])).join(' '),
    );
  const own = ['P01 PC1 complete', 'P01 PC2 retry', 'P01 PC3 skipped'];
  const below = ['S01 PC2 complete', 'S01 PC9 retry', 'S02 FAR failed'];
  assert.deepEqual(await details(), [...own, ...below]);
  assert.deepEqual(await details({ site: 'S02', days: 365 }), ['S02 PC3 failed', 'S02 FAR failed']);
  await site.records.collection.create({ name: 'Tens', query: 'name like "*"' }, 'test');
  assert.deepEqual(await details({ collection: 'Tens' }), [...own, 'S01 PC2 complete', 'S02 FAR failed']);
  assert.equal((await call('GET', '/reports/push-status-details/csv')).text.trim().split('\r\n').length, 7);
  assert.deepEqual(pick(await run('push-status-summary'), 'site', 'state', 'ccrs').slice(-3), [
    ['S01', 'complete', 1],
    ['S01', 'retry', 1],
    ['S02', 'failed', 1],
  ]);
  const missing = await run('assigned-not-installed');
  assert.deepEqual(
    pick(missing, 'name', 'ccrState').filter(([name]) => name === 'PC2'),
    [['PC2', 'complete']],
    'the last push, wherever it was',
  );
});

/** The reports of the original by what they are about (facts F8), and ours. */
const ORIGINAL = {
  'client push installation status details': 'push-status-details',
  'client push installation status summary': 'push-status-summary',
  'client assignment detailed status': 'assignment-status-details',
  'client assignment failure': 'assignment-failure',
  'client assignment status': 'assignment-status',
  'client assignment success': 'assignment-success',
  'client deployment failure': 'deployment-failure',
  'client deployment status details': 'deployment-status-details',
  'client deployment success': 'deployment-success',
  'computers assigned but not installed': 'assigned-not-installed',
  'client computers by version': 'clients-by-version',
  'count for each site': 'clients-per-site',
  'problem details reported to the fallback status point': 'fsp-problems',
  'problem summary reported to the fallback status point': 'fsp-problems-summary',
  'clients not reporting': 'not-reporting',
  'computers not discovered recently': 'not-discovered',
  'duplicate MAC addresses': 'duplicate-macs',
  'shared unique ids': 'shared-hardware-ids',
};

test('every report of the original is there, and answers at a site that knows nothing, as JSON and as a file', async (t) => {
  const site = await TestSite.make(t, manual());
  const { call } = await site.console();
  const { items } = (await call('GET', '/reports')).json as { items: { name: string; columns: { name: string }[] }[] };
  const names = items.map(({ name }) => name);
  for (const [what, ours] of Object.entries(ORIGINAL)) assert.ok(names.includes(ours), `${what}: ${ours}`);
  for (const { name, columns } of items) {
    const json = await call('GET', `/reports/${name}`);
    const rows = (json.json as { items: Record<string, unknown>[] }).items;
    assert.equal(json.status, 200, json.text);
    // The count of each site and the coverage have a row for the site, or for no boundary, in which nothing is counted.
    for (const row of rows)
      assert.ok(
        Object.values(row).every((cell) => typeof cell !== 'number' || cell === 0),
        JSON.stringify(row),
      );
    const csv = await call('GET', `/reports/${name}/csv`);
    assert.equal(csv.status, 200);
    const lines = csv.text.split('\r\n');
    assert.equal(lines[0], columns.map((column) => column.name).join(','));
    assert.equal(lines.length, rows.length + 2, name);
  }
});

test('assignment and deployment: the last word of a machine counts, proven or not, and says which it is', async (t) => {
  const { site, run, say } = await estate(t);
  await say('A', 100);
  await say('A', 313, { exitCode: -2_147_023_293 });
  await say('A', 607, { detail: 'the client is newer' });
  await say('B', 313);
  await say('B', 400);
  await say('B', 700);
  await say('B', 602, { domain: 'OTHER' });
  await say('C', 500);
  await site.records.client.state(
    {
      topicType: 800,
      topicId: randomUUID(),
      stateId: 700,
      at: site.clock.now().toISOString(),
      name: 'C',
      domain: 'CORP',
      site: 'P01',
    },
    { proven: true },
  );
  // Whoever says something of C without a proof, be it after C has proven its word, does not take it from C.
  assert.deepEqual(pick(await run('assignment-success'), 'name', 'saidSince'), [
    ['B', null],
    ['C', null],
  ]);
  await (site.clock as ReturnType<typeof manual>).advance(1000);
  await say('C', 607);
  assert.deepEqual(pick(await run('assignment-status-details'), 'name', 'stateId', 'proven', 'saidSince'), [
    ['A', 607, false, null],
    ['B', 700, false, null],
    ['B', 602, false, null],
    ['C', 700, true, 607],
  ]);
  assert.deepEqual(pick(await run('assignment-failure'), 'name', 'domain', 'stateId', 'detail', 'proven'), [
    ['A', 'CORP', 607, 'the client is newer', false],
    ['B', 'OTHER', 602, null, false],
  ]);
  assert.deepEqual(pick(await run('assignment-success'), 'name', 'proven'), [
    ['B', false],
    ['C', true],
  ]);
  assert.deepEqual(pick(await run('assignment-status'), 'stateId', 'outcome', 'machines', 'percent', 'proven'), [
    [700, 'succeeded', 2, 50, 1],
    [602, 'failed', 1, 25, 0],
    [607, 'failed', 1, 25, 0],
  ]);
  assert.deepEqual(pick(await run('deployment-failure'), 'name', 'stateId', 'meaning', 'exitCode'), [
    ['A', 313, 'The installer of the client failed', 2_147_944_003],
  ]);
  assert.deepEqual(pick(await run('deployment-success'), 'name'), [['B']]);
  assert.deepEqual(await run('assignment-success', { collection: 'All Systems' }), [], 'none of those is a known machine');
  const problems = pick(await run('fsp-problems'), 'name', 'stateId');
  assert.deepEqual(problems, [
    ['A', 313],
    ['A', 607],
    ['B', 313],
    ['B', 602],
    ['C', 607],
  ]);
  assert.deepEqual(pick(await run('fsp-problems-summary'), 'stateId', 'machines', 'messages'), [
    [313, 2, 2],
    [607, 2, 2],
    [602, 1, 1],
  ]);
});

test('clients and discovery: who has none, which versions, who is silent, who shares what', async (t) => {
  const { site, run, at } = await estate(t);
  assert.deepEqual(pick(await run('assigned-not-installed'), 'name', 'site', 'ccrState', 'code', 'addresses'), [
    ['PC2', 'P01', 'retry', 53, '10.1.0.2'],
    ['PC3', 'P01', 'failed', 5, '10.1.0.3'],
  ]);
  assert.deepEqual(pick(await run('clients-by-version'), 'site', 'version', 'clients', 'active'), [
    ['P01', '1.0.1', 2, 1],
    ['P01', '1.0.0', 1, 1],
  ]);
  assert.deepEqual(
    pick(await run('clients-per-site'), 'site', 'machines', 'installed', 'percent', 'clients', 'pending', 'blocked'),
    [
      ['', 1, 0, 0, 0, 0, 0],
      ['P01', 3, 1, 33.3, 3, 1, 1],
    ],
  );
  assert.deepEqual(pick(await run('not-reporting'), 'name', 'daysSilent'), [['OTHER', 40]]);
  assert.deepEqual(await run('not-discovered'), []);
  await site.parts.database.query(
    "update resource_source set at = $1 where resource_id = (select id from resource where name = 'FAR')",
    [at(31)],
  );
  assert.deepEqual(pick(await run('not-discovered'), 'name', 'method', 'installed'), [['FAR', 'import', false]]);
  const [mac, ...more] = await run('duplicate-macs');
  assert.deepEqual([more, mac?.['machines'], mac?.['names']], [[], 2, 'PC2 PC3']);
  assert.deepEqual(pick(await run('shared-hardware-ids'), 'hardwareId', 'clients', 'names', 'ignored'), [
    ['SAME-BOARD', 2, 'PC1 OTHER', false],
  ]);
  assert.deepEqual(pick(await run('boundary-coverage'), 'boundary', 'machines', 'installed', 'percent'), [
    ['subnet:10.1.0.0/16', 3, 1, 33.3],
    ['', 1, 0, 0],
  ]);
});

test('a file is whole, in the form of RFC 4180, and nothing in it is a formula', async (t) => {
  const { site, call, say } = await estate(t);
  for (const detail of ['=1+1', '+1', '-1', '@SUM(A1)', 'a "quote", and a comma', 'red \u001b[31m'])
    await site.parts.database.query(
      `insert into fallback_status (sender, topic_type, topic_id, state_id, at, received_at, name_key, name, detail)
       values ('10.0.0.1', 800, gen_random_uuid(), 313, $1, $1, 'EVIL', 'EVIL', $2)`,
      [site.clock.now(), detail],
    );
  await say('GOOD', 313, { detail: 'fine' });
  const { status, type, text, headers } = await call('GET', '/reports/fsp-problems/csv');
  assert.deepEqual([status, type], [200, 'text/csv; charset=utf-8; header=present']);
  assert.equal(headers.get('content-disposition'), 'attachment; filename="fsp-problems.csv"');
  const lines = text.split('\r\n');
  assert.equal(lines.at(-1), '');
  assert.equal(lines.length, 1 + 7 + 1);
  assert.match(lines[0]!, /^receivedAt,sender,name,domain,site,stateId,meaning,exitCode,clientVersion,detail,topicId$/);
  const details = lines.slice(1, -1).map((line) => line.split(',').slice(9, -1).join(','));
  assert.deepEqual(details, ["'=1+1", "'+1", "'-1", "'@SUM(A1)", '"a ""quote"", and a comma"', 'red ?[31m', 'fine']);
  const push = await call('GET', '/reports/push-status-details/csv?days=365');
  assert.equal(push.text.match(/"'=HYPERLINK\(""http/g)?.length, 3);
});

test('a file of more rows than are read at once has all of them, each once', async (t) => {
  const { site, call } = await estate(t);
  await site.parts.database.query(
    `insert into fallback_status (sender, topic_type, topic_id, state_id, at, received_at, name_key, name)
     select '10.0.0.1', 800, gen_random_uuid(), 400, $1, $1, 'N' || i, 'N' || i from generate_series(1, 4500) i`,
    [site.clock.now()],
  );
  const { text } = await call('GET', '/reports/deployment-success/csv');
  const names = text
    .split('\r\n')
    .slice(1, -1)
    .map((line) => line.split(',', 1)[0]);
  assert.deepEqual([names.length, new Set(names).size], [4500, 4500]);
});

test('what cannot be meant is refused in words: no such report, site, collection, parameter, cursor', async (t) => {
  const { site, call } = await estate(t);
  const code = async (path: string) => {
    const { status, json } = await call('GET', path);
    return [status, (json as { code?: string }).code];
  };
  assert.deepEqual(await code('/reports/nonsense'), [404, 'PP_API_NOT_FOUND']);
  assert.deepEqual(await code('/reports/nonsense/csv'), [404, 'PP_API_NOT_FOUND']);
  assert.deepEqual(await code('/reports/fsp-problems?site=X99'), [404, 'PP_SITE_UNKNOWN']);
  assert.deepEqual(await code('/reports/fsp-problems/csv?collection=Nobody'), [404, 'PP_COLLECTION_UNKNOWN']);
  assert.deepEqual(await code('/reports/duplicate-macs?days=3'), [400, 'PP_API_INVALID']);
  assert.deepEqual(await code('/reports/duplicate-macs/csv?days=3'), [400, 'PP_API_INVALID']);
  for (const keys of ['x', ['1;drop table client'], [1], ['1', '2'], ['99999999999']]) {
    const cursor = Buffer.from(JSON.stringify(keys)).toString('base64url');
    assert.deepEqual(await code(`/reports/fsp-problems?cursor=${cursor}`), [400, 'PP_REQUEST_CURSOR']);
  }
  assert.deepEqual(await code('/reports/fsp-problems?cursor=%21'), [400, 'PP_REQUEST_CURSOR']);
  assert.deepEqual(await code(`/reports/duplicate-macs?cursor=${Buffer.from('["a\\u0000"]').toString('base64url')}`), [
    400,
    'PP_REQUEST_CURSOR',
  ]);
  site.token = await site.records.site.tokens.add({ label: 'looks only', scopes: ['read'] });
  assert.equal((await call('GET', '/reports/clients-per-site')).status, 200);
  assert.equal((await call('GET', '/reports/clients-per-site/csv')).status, 200);
});
