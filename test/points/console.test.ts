import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { manual, TestSite } from '#test/points';

const CANARY = 'cAnArY-5ecret-Passw0rd';

async function start(t: TestContext) {
  const clock = manual();
  const site = await TestSite.make(t, clock);
  return { site, clock, ...(await site.console()) };
}

interface Operation {
  summary?: string;
  security?: unknown[];
  parameters: { name: string; in: string; required: boolean; schema: object }[];
  requestBody?: { content: object };
  responses: Record<string, { description?: string; $ref?: string }>;
}

type Called = Awaited<ReturnType<Awaited<ReturnType<typeof start>>['call']>>;

function isProblem(answer: Called, status: number, code: string): void {
  assert.deepEqual([answer.status, answer.json?.code], [status, code], answer.text.slice(0, 300));
  assert.match(answer.type, /^application\/problem\+json/);
  for (const part of ['type', 'title', 'detail', 'cause', 'remedy']) assert.equal(typeof answer.json[part], 'string', part);
  assert.equal(answer.json.status, status);
}

const routes: [string, string, unknown?][] = [
  ['GET', '/openapi.json'],
  ['GET', '/sites'],
  ['GET', '/settings'],
  ['PATCH', '/settings', { client: { heartbeatMinutes: 60 } }],
  ['GET', '/points'],
  ['PUT', '/points/fsp', { address: 'http://fsp.corp.example' }],
  ['GET', '/boundaries'],
  ['GET', '/boundaries/which?address=10.1.2.3'],
  ['GET', '/boundaries/report'],
  ['POST', '/boundaries', { boundaries: ['subnet:10.1.0.0/16'] }],
  ['DELETE', '/boundaries/subnet%3A10.1.0.0%2F16'],
  ['GET', '/devices'],
  ['GET', '/devices/PC1'],
  ['POST', '/devices/import', [{ name: 'PC1', domain: 'CORP' }]],
  ['POST', '/devices/reassign', { all: true }],
  ['GET', '/accounts'],
  ['POST', '/accounts', { name: 'push', username: 'CORP\\push', password: CANARY, scope: { kind: 'site' } }],
  ['POST', '/accounts/push/resume', {}],
  ['DELETE', '/accounts/push'],
  ['GET', '/packages'],
  ['POST', '/content'],
  ['POST', '/packages', { definition: {}, files: [] }],
  ['DELETE', '/packages/PC1'],
  ['POST', '/push', { names: ['PC1'] }],
  ['GET', '/ccrs'],
  ['GET', '/ccrs/counts'],
  ['GET', '/ccrs/PC1'],
  ['POST', '/ccrs/retry', { names: ['PC1'] }],
  ['GET', '/clients'],
  ['GET', '/clients/conflicts'],
  ['GET', '/clients/approval'],
  ['GET', '/clients/bad-hardware'],
  ['POST', '/clients/bad-hardware', { hardwareId: 'HW-12345' }],
  ['DELETE', '/clients/bad-hardware/HW-12345'],
  ['GET', '/clients/PC1'],
  ['DELETE', '/clients/PC1'],
  ['POST', '/clients/PC1/block'],
  ['GET', '/policies'],
  ['POST', '/policies', { kind: 'uninstall', clients: ['PC1'] }],
  ['GET', '/policies/secrets'],
  ['PUT', '/policies/secrets/wifi.key', { value: CANARY }],
  ['DELETE', '/policies/secrets/wifi.key'],
  ['GET', '/policies/1'],
  ['POST', '/policies/1/pause'],
  ['GET', '/waves'],
  ['GET', '/waves/1'],
  ['GET', '/fallback-status'],
  ['GET', '/reports'],
  ['GET', '/reports/PC1'],
  ['GET', '/reports/PC1/csv'],
  ['GET', '/audit'],
  ['GET', '/device-fields'],
  ['GET', '/collections'],
  ['POST', '/collections', { name: 'Berlin' }],
  ['GET', '/collections/Berlin'],
  ['GET', '/collections/Berlin/members'],
  ['POST', '/collections/Berlin/add', { names: ['PC1'] }],
  ['POST', '/collections/Berlin/remove', { names: ['PC1'] }],
  ['POST', '/collections/evaluate', {}],
  ['PATCH', '/collections/Berlin', { comment: 'the new building' }],
  ['DELETE', '/collections/Berlin'],
  ['GET', '/discovery/methods'],
  ['GET', '/discovery/methods/network'],
  ['PATCH', '/discovery/methods/network', {}],
  ['GET', '/discovery/runs'],
  ['POST', '/discovery/runs', { method: 'network' }],
  ['GET', '/discovery/runs/1'],
  ['POST', '/discovery/runs/1/cancel'],
  ['POST', '/doctor', {}],
  ['GET', '/doctor/1'],
  ['GET', '/sites/S01/rejected'],
  ['GET', '/sites/S01/ccrs'],
  ['POST', '/sites/tokens', {}],
  ['PUT', '/sites/S01/pin', { pin: 'ab'.repeat(32) }],
  ['DELETE', '/sites/S01'],
];

test('every call needs a valid token, and nothing is done without one', async (t) => {
  const { site, clock, call } = await start(t);
  for (const [method, route, body] of routes) {
    // Slower than the limit on wrong tokens, which has a test of its own.
    await clock.advance(60_000);
    for (const authorization of [
      '',
      'Bearer',
      'Bearer short',
      `Bearer ${'x'.repeat(43)}`,
      `Basic ${site.token}`,
      `bearer${site.token}`,
    ]) {
      const answer = await call(method, route, body, { authorization });
      isProblem(answer, 401, 'PP_API_UNAUTHORIZED');
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer');
      assert.equal(answer.headers.get('cache-control'), 'no-store');
      assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
      assert.equal(answer.headers.get('access-control-allow-origin'), null);
    }
  }
  assert.deepEqual([...new Set((await site.records.audit.list()).items.map((line) => line.what))], ['console.refused']);
  assert.equal((await site.records.resource.list()).items.length, 0);
  assert.equal((await call('GET', '/healthz', undefined, { authorization: '' })).status, 200);
  assert.equal((await call('GET', '/readyz', undefined, { authorization: '' })).status, 200);
});

test('a token for reading reads, one for pushing pushes too, and neither changes settings', async (t) => {
  const { site, call } = await start(t);
  await site.know('PC1');
  const bearer = async (scope: string) => ({
    authorization: `Bearer ${await site.records.site.tokens.add({ label: scope, scopes: [scope] })}`,
  });
  const [reader, pusher] = [await bearer('read'), await bearer('push')];
  assert.equal((await call('GET', '/devices', undefined, reader)).status, 200);
  isProblem(await call('POST', '/push', { names: ['PC1'] }, reader), 403, 'PP_API_FORBIDDEN');
  isProblem(await call('GET', '/audit', undefined, pusher), 403, 'PP_API_FORBIDDEN');
  assert.equal((await call('POST', '/push', { names: ['PC1'] }, pusher)).status, 200);
  assert.equal((await call('POST', '/ccrs/pause', { names: ['PC1'] }, pusher)).json.items[0].done, true);
  isProblem(await call('PATCH', '/settings', { client: { heartbeatMinutes: 1 } }, pusher), 403, 'PP_API_FORBIDDEN');
  isProblem(await call('POST', '/accounts', routes[16]![2], await bearer('nothing')), 403, 'PP_API_FORBIDDEN');
});

test('a password goes in and never comes out: no answer, no log line, no table has it', async (t) => {
  const { site, call } = await start(t);
  const seen: string[] = [];
  const say = async (...args: Parameters<typeof call>) => {
    const answer = await call(...args);
    seen.push(answer.text, JSON.stringify([...answer.headers]));
    return answer;
  };
  const account = { name: 'push', username: 'CORP\\push', password: CANARY, scope: { kind: 'site' } };
  assert.equal((await say('POST', '/accounts', account)).status, 200);
  isProblem(await say('POST', '/accounts', account), 409, 'PP_ACCOUNT_EXISTS');
  for (const wrong of [
    { ...account, name: CANARY.repeat(9) },
    { ...account, password: `${CANARY}${'x'.repeat(600)}` },
    { ...account, password: [CANARY] },
    { ...account, passwort: CANARY },
    { ...account, scope: { kind: CANARY } },
    { ...account, scope: { kind: 'host' } },
    { ...account, username: 'nobody' },
    { ...account, scope: { kind: 'subnet', cidr: '10.0.0.0/99' } },
  ]) {
    const answer = await say('POST', '/accounts', wrong);
    assert.equal(answer.status, 400, JSON.stringify(wrong));
  }
  isProblem(
    await say('POST', '/accounts', `{"password":"${CANARY}", x`, { 'content-type': 'application/json' }),
    400,
    'PP_API_INVALID',
  );
  isProblem(
    await say('POST', '/accounts', `password=${CANARY}`, { 'content-type': 'application/x-www-form-urlencoded' }),
    415,
    'PP_API_INVALID',
  );
  assert.equal((await say('POST', '/accounts/PUSH/resume', { password: `${CANARY}2` })).status, 200);
  isProblem(await say('POST', '/accounts/none/resume', { password: CANARY }), 404, 'PP_API_NOT_FOUND');
  for (const route of ['/accounts', '/audit', '/openapi.json']) await say('GET', route);
  const { database } = site.parts;
  const tables = await database.query<{ name: string }>(
    "select quote_ident(table_schema) || '.' || quote_ident(table_name) as name from information_schema.tables where table_schema = 'public'",
  );
  assert.ok(tables.length > 10);
  const rows: string[] = [];
  for (const { name } of tables)
    for (const row of await database.query<{ text: string }>(`select r::text as text from ${name} r`)) rows.push(row.text);
  const hex = Buffer.from(CANARY).toString('hex');
  for (const [what, text] of [
    ['answers', seen.join('\n')],
    ['log', site.logged.join('\n')],
    ['tables', rows.join('\n')],
  ] as const) {
    assert.ok(text.length > 0 || what === 'log');
    // The word for a wrong kind of scope or a name that is too long is the caller's own input, but the answer does not repeat it either.
    for (const form of [CANARY, Buffer.from(CANARY).toString('base64').slice(0, 24), hex])
      assert.ok(!text.includes(form), `${what} hold the password as ${form}`);
  }
  assert.ok(rows.some((row) => row.includes('CORP\\\\push') || row.includes('CORP\\push')));
  const [stored] = (await call('GET', '/accounts')).json.items;
  assert.deepEqual(
    Object.keys(stored).filter((key) => /pass|seal/i.test(key)),
    [],
  );
});

test('requests are judged strictly: nothing unknown, nothing guessed, nothing out of bounds', async (t) => {
  const { site, call } = await start(t);
  await site.know('PC1');
  const wrong: [string, string, unknown?][] = [
    ['POST', '/push', { names: ['PC1'], dryrun: true }],
    ['POST', '/push', { names: 'PC1' }],
    ['POST', '/push', { names: ['PC1'], force: 'true' }],
    ['POST', '/push', { names: [] }],
    ['POST', '/push', { names: [''] }],
    ['POST', '/push', { names: Array.from({ length: 10_001 }, (_, i) => `PC${i}`) }],
    ['POST', '/push', { names: [7] }],
    ['POST', '/push', {}],
    ['POST', '/push', []],
    ['POST', '/push'],
    ['GET', '/devices?limit=0'],
    ['GET', '/devices?limit=1001'],
    ['GET', '/devices?limit=x'],
    ['GET', '/devices?limit=1&limit=2'],
    ['GET', '/devices?colour=red'],
    ['GET', '/devices?ccr=gone'],
    ['GET', '/devices?filter=%00'],
    ['GET', '/devices?cursor=nonsense'],
    ['GET', '/devices/%00'],
    ['GET', '/ccrs?state=gone'],
    ['GET', '/ccrs?cursor=9999999999'],
    ['GET', '/ccrs?cursor=x'],
    ['GET', '/ccrs?filter=%00'],
    ['GET', '/ccrs/PC1?attempts=0'],
    ['GET', '/clients?cursor=9999999999'],
    ['GET', '/clients?filter=%01'],
    ['GET', '/clients/%00'],
    ['GET', '/audit?cursor=x'],
    ['POST', '/ccrs/explode', { names: ['PC1'] }],
    ['POST', '/clients/PC1/explode'],
    ['PUT', '/points/dp', { on: true }],
    ['PUT', '/points/mp', { address: 'http://0.0.0.0:1' }],
    ['PUT', '/points/mp', { address: 'ftp://x' }],
    ['PUT', '/points/mp', { address: 'http://a\u0000b' }],
    ['PATCH', '/settings', { client: { heartbeatMinutes: 0 } }],
    ['PATCH', '/settings', { client: { nonsense: 1 } }],
    ['PATCH', '/settings', { nonsense: { a: 1 } }],
    ['PATCH', '/settings', { constructor: { keys: null } }],
    ['PATCH', '/settings', { push: { package: 'a\u0000b' } }],
    ['PATCH', '/settings', []],
    ['POST', '/devices/import', { name: 'PC1' }],
    ['POST', '/packages', { definition: {}, files: [{ name: '../x', sha256: 'a'.repeat(64), size: 1 }] }],
    ['POST', '/content', { a: 1 }],
  ];
  for (const [method, route, body] of wrong) {
    const answer = await call(method, route, body);
    assert.equal(answer.status, 400, `${method} ${route} ${JSON.stringify(body)?.slice(0, 80)}: ${answer.text.slice(0, 200)}`);
    assert.match(answer.type, /^application\/problem\+json/);
    assert.match(answer.json.code, /^PP_/);
  }
  assert.equal(typeof Object.keys, 'function');
  isProblem(
    await call('POST', '/push', '{"names":["PC1"],"__proto__":{"force":true}}', { 'content-type': 'application/json' }),
    400,
    'PP_API_INVALID',
  );
  assert.match((await call('GET', '/devices/%00')).json.detail, /params\/name holds a control character/);
  const form = await call('POST', '/push', 'names=PC1', { 'content-type': 'application/x-www-form-urlencoded' });
  isProblem(form, 415, 'PP_API_INVALID');
  assert.match(form.json.detail, /send Content-Type: application\/json/);
  isProblem(await call('POST', '/push', { names: ['PC1'], dryrun: true }), 400, 'PP_API_INVALID');
  assert.match((await call('POST', '/push', { names: ['PC1'], dryrun: true })).json.detail, /body\/dryrun is not known here/);
  assert.equal((await site.records.ccr.list()).items.length, 0);
  assert.ok(!site.logged.join('').includes('request failed'));
});

test('what is not there is a 404 that is a problem, whatever the path', async (t) => {
  const { call } = await start(t);
  for (const [method, route] of [
    ['GET', '/nothing'],
    ['GET', '/devices/NOBODY'],
    ['GET', '/ccrs/NOBODY'],
    ['GET', '/clients/NOBODY'],
    ['GET', '/clients/GUID:00000000-0000-4000-8000-000000000000'],
    ['POST', '/clients/NOBODY/block'],
    ['DELETE', '/accounts/none'],
    ['PUT', '/settings'],
  ] as const)
    isProblem(await call(method, route), 404, 'PP_API_NOT_FOUND');
  const bad = await call('GET', '/devices/%zz');
  assert.equal(bad.status, 400);
  assert.match(bad.type, /^application\/problem\+json/);
});

test('health answers without a token, and readiness is told by the database', async (t) => {
  const { site, call } = await start(t);
  await site.parts.database.close();
  assert.equal((await call('GET', '/healthz')).status, 200);
  const answer = await call('GET', '/readyz');
  assert.deepEqual([answer.status, answer.json], [503, { ready: false }]);
  const list = await call('GET', '/devices');
  assert.deepEqual([list.status, list.headers.get('retry-after')], [503, '5']);
});

test('the OpenAPI document is one, and describes every route with its parameters', async (t) => {
  const { call } = await start(t);
  const { json: doc } = await call('GET', '/openapi.json');
  assert.equal(doc.openapi, '3.1.0');
  assert.ok(doc.info.title && doc.info.version);
  const listed = Object.entries<Record<string, unknown>>(doc.paths).flatMap(([path, item]) =>
    Object.keys(item).map((m) => `${m} ${path}`),
  );
  const pattern = (route: string) =>
    route
      .replace(/\?.*$/, '')
      .replace(/^\/collections\/Berlin/, '/collections/{name}')
      .replace(/^\/(waves|policies|discovery\/runs|doctor)\/1(?=\/|$)/, '/$1/{id}')
      .replace(/^\/discovery\/methods\/network/, '/discovery/methods/{method}')
      .replace(/^\/sites\/S01/, '/sites/{code}')
      .replace(/^\/boundaries\/subnet.*$/, '/boundaries/{boundary}')
      .replace(/\/(PC1|push)(?=\/|$)/, '/{name}')
      .replace(/^\/points\/\w+/, '/points/{kind}')
      .replace(/^\/policies\/secrets\/.*$/, '/policies/secrets/{name}')
      .replace(/^\/clients\/bad-hardware\/.*$/, '/clients/bad-hardware/{id}')
      .replace(/\/(retry|block|pause)$/, '/{action}');
  for (const [method, route] of routes) {
    const path = route === '/push' ? route : pattern(route);
    assert.ok(listed.includes(`${method.toLowerCase()} /api/v1${path}`), `${method} ${path} is not described`);
  }
  assert.equal(listed.length, routes.length + 3, 'besides these there are /healthz, /readyz and /metrics');
  for (const [path, item] of Object.entries<Record<string, Operation>>(doc.paths)) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map((m) => m[1]!).sort();
    for (const operation of Object.values(item)) {
      assert.ok(operation.summary, path);
      const inPath = operation.parameters.filter((p) => p.in === 'path');
      assert.deepEqual(inPath.map((p) => p.name).sort(), named, path);
      for (const p of operation.parameters)
        assert.ok(['path', 'query'].includes(p.in) && typeof p.schema === 'object' && typeof p.required === 'boolean');
      assert.ok(inPath.every((p) => p.required));
      assert.ok(
        operation.responses['200']!.description && operation.responses['default']!.$ref === '#/components/responses/problem',
      );
      if (operation.requestBody) assert.ok(Object.keys(operation.requestBody.content).length > 0);
      assert.deepEqual(operation.security, path.startsWith('/api') || path === '/metrics' ? undefined : []);
    }
  }
  assert.ok(doc.components.responses.problem.content['application/problem+json'].schema.required.includes('code'));
  assert.deepEqual(doc.components.securitySchemes.token, { type: 'http', scheme: 'bearer' });
  const limit = doc.paths['/api/v1/devices'].get.parameters.find((p: { name: string }) => p.name === 'limit');
  assert.deepEqual([limit.required, limit.schema.maximum], [false, 1000]);
});
