import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { test, type TestContext } from 'node:test';
import { TestSite, manual, sendRaw } from '#test/points';

const LINE = (query: string, more = '') => `SMS_POST /sms_mp/machine.ccr?${query} HTTP/1.1\r\nHost: mp\r\n${more}\r\n`;

/** smsPost sends one request with Node's own client, which takes any verb and sends no Content-Length. */
function smsPost(url: string, query: string, headers: Record<string, string> = {}) {
  return new Promise<{ status: number; text: string; headers: Record<string, unknown> }>((resolve, reject) => {
    const sent = httpRequest(`${url}/sms_mp/machine.ccr?${query}`, { method: 'SMS_POST', headers, agent: false }, (answer) => {
      let text = '';
      answer.on('data', (part: Buffer) => (text += part.toString()));
      answer.on('end', () => resolve({ status: answer.statusCode!, text, headers: answer.headers }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

async function site(t: TestContext, smsPost?: 'off' | 'known' | 'authenticated') {
  const made = await TestSite.make(t, manual());
  await made.know('PC042', 'PC043');
  if (smsPost) await made.records.site.updateSettings({ ccr: { smsPost } }, 'test');
  return { site: made, mp: await made.managementPoint() };
}

test('the words for true in every language force, those for false and none at all do not', async (t) => {
  const { site: s, mp } = await site(t);
  const words = { True: true, Wahr: true, Vrai: true, '1': true, Sant: true, yes: true };
  const not = { False: false, Falsch: false, Faux: false, FALSO: false, '0': false, no: false, '': false, '%20': false };
  for (const [word, forced] of Object.entries({ ...words, ...not })) {
    const answer = await smsPost(mp.url, `mn=PC042&dn=CORP&fkey=${word}`);
    assert.equal(answer.status, 200, word);
    const [ccr] = await s.records.ccr.find('PC042');
    assert.equal(ccr!.forced, forced, `fkey=${word}`);
    await s.records.ccr.cancel([ccr!.id], 'test');
  }
  assert.equal((await smsPost(mp.url, 'MN=pc042&Dn=corp')).status, 200);
  const [ccr] = await s.records.ccr.find('PC042');
  assert.equal(ccr!.forced, false);
  assert.equal(ccr!.source, 'sms_post');
  assert.equal(ccr!.resourceId, (await s.records.resource.find('PC042'))[0]!.id);
});

test('requests for one machine merge into one CCR, and each of them is in the audit log', async (t) => {
  const { site: s, mp } = await site(t);
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, i) => smsPost(mp.url, `mn=${i % 2 ? 'PC042' : 'pc042.corp'}&fkey=${i === 7 ? 'Wahr' : ''}`)),
  );
  assert.deepEqual(new Set(answers.map((a) => a.status)), new Set([200]));
  const { items } = await s.records.ccr.list();
  assert.equal(items.length, 1);
  assert.equal(items[0]!.requestCount, 12);
  assert.equal(items[0]!.forced, true);
  const log = await s.records.audit.list({ what: 'sms_post' });
  assert.equal(log.items.length, 12);
  assert.equal(log.items.filter((e) => (e.detail as { made: string }).made === 'new').length, 1);
  assert.equal(log.items[0]!.address, '127.0.0.1');
});

test('a stranger and a machine that only names itself get the very same 404, and in mode off everybody does', async (t) => {
  const { site: s, mp } = await site(t);
  await s.records.resource.importDevices([{ name: 'LIAR', domain: 'CORP', addresses: ['10.6.6.6'] }], {
    site: 'P01',
    source: 'heartbeat',
  });
  assert.equal((await s.records.resource.find('LIAR'))[0]!.trusted, false);
  const stranger = await smsPost(mp.url, 'mn=NOBODY&dn=CORP&fkey=True');
  const liar = await smsPost(mp.url, 'mn=LIAR&dn=CORP&fkey=True');
  await s.records.site.updateSettings({ ccr: { smsPost: 'off' } }, 'test');
  const off = await smsPost(mp.url, 'mn=PC042&dn=CORP');
  const offBad = await smsPost(mp.url, 'mn=a@b');
  for (const answer of [stranger, liar, off, offBad]) {
    assert.equal(answer.status, 404);
    assert.equal(answer.text, stranger.text);
    assert.deepEqual({ ...answer.headers, date: 0 }, { ...stranger.headers, date: 0 });
  }
  assert.equal(JSON.parse(stranger.text).code, 'PP_MP_NOT_HERE');
  assert.equal((await s.records.ccr.list()).items.length, 0);
});

test('in mode authenticated a token with the right scope decides', async (t) => {
  const { site: s, mp } = await site(t, 'authenticated');
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const reading = await s.records.site.tokens.add({ label: 'reader', scopes: ['read'] });
  const pushing = await s.records.site.tokens.add({ label: 'helpdesk', scopes: ['push'] });
  const refusable: Record<string, string>[] = [
    {},
    bearer('x'.repeat(40)),
    bearer(reading),
    { authorization: `Basic ${pushing}` },
  ];
  for (const headers of refusable) {
    const refused = await smsPost(mp.url, 'mn=PC042&dn=CORP', headers);
    assert.equal(refused.status, 401);
    assert.equal(JSON.parse(refused.text).code, 'PP_API_UNAUTHORIZED');
  }
  assert.equal((await s.records.ccr.list()).items.length, 0);
  assert.equal((await smsPost(mp.url, 'mn=PC042&dn=CORP&dc=True', bearer(pushing))).status, 200);
  assert.equal((await smsPost(mp.url, 'mn=UNKNOWN7&dn=CORP', bearer(s.token))).status, 200);
  const { items } = await s.records.ccr.list();
  assert.deepEqual(
    items.map((c) => [c.name, c.requestedBy, c.includeDcs]),
    [
      ['UNKNOWN7', 'test', false],
      ['PC042', 'helpdesk', true],
    ],
  );
  const text = JSON.stringify(await s.records.audit.list());
  for (const token of [reading, pushing, s.token]) assert.ok(!text.includes(token) && !s.logged.join('').includes(token));
});

test('without a token dc counts for nothing', async (t) => {
  const { site: s, mp } = await site(t);
  assert.equal((await smsPost(mp.url, 'mn=PC042&dn=CORP&dc=True&ct=1')).status, 200);
  assert.equal((await s.records.ccr.find('PC042'))[0]!.includeDcs, false);
});

test('names that are none are refused and nothing is made', async (t) => {
  const { site: s, mp } = await site(t);
  const names = [
    'PC042@445',
    'PC042/x',
    'PC042\\x',
    'PC042:445',
    "PC'--",
    'PC"',
    'PC 042',
    'PC\u0000',
    'PC\r\nX: y',
    '',
    '10.0.0.1',
    '.',
    '-PC',
  ];
  for (const name of [...names, 'A'.repeat(300), `${'a.'.repeat(150)}b`]) {
    const answer = await smsPost(mp.url, `mn=${encodeURIComponent(name)}&dn=CORP&fkey=True`);
    assert.equal(answer.status, 400, JSON.stringify(name));
    assert.equal(JSON.parse(answer.text).code, 'PP_REQUEST_NAME');
    await (s.clock as ReturnType<typeof manual>).advance(1000);
  }
  for (const domain of ['CORP/x', 'a@b', 'x'.repeat(300)])
    assert.equal((await smsPost(mp.url, `mn=PC042&dn=${encodeURIComponent(domain)}`)).status, 400);
  for (const query of ['', 'dn=CORP', '%zz=1&mn', 'mn=%E0%A4%A']) assert.equal((await smsPost(mp.url, query)).status, 400, query);
  assert.equal((await s.records.ccr.list()).items.length, 0);
});

test('a machine whose DNS name is longer than NetBIOS allows is known by it', async (t) => {
  const { site: s, mp } = await site(t);
  await s.know({ name: 'berlin-frontdesk-0042.corp.example', domain: 'CORP' });
  assert.equal((await smsPost(mp.url, 'mn=berlin-frontdesk-0042.corp.example')).status, 200);
  assert.equal((await smsPost(mp.url, 'mn=berlin-frontdesk-0042&dn=CORP')).status, 400, 'a NetBIOS name has at most 15');
  const [ccr] = await s.records.ccr.find('berlin-frontdesk-0042.corp.example');
  assert.deepEqual([ccr!.name, ccr!.domain, ccr!.requestCount], ['berlin-frontdesk-0042', 'CORP', 1]);
});

test('a short name of two machines is refused without naming their domains to a stranger', async (t) => {
  const { site: s, mp } = await site(t);
  await s.know({ name: 'TWIN', domain: 'SALES' }, { name: 'TWIN', domain: 'PLANT' });
  const answer = await smsPost(mp.url, 'mn=TWIN');
  assert.equal(answer.status, 409);
  assert.ok(!/SALES|PLANT/.test(answer.text));
  assert.equal((await smsPost(mp.url, 'mn=TWIN&dn=plant')).status, 200);
  assert.equal((await s.records.ccr.find('TWIN'))[0]!.domain, 'PLANT');
});

test('keep-alive with GET before it, pipelined, in single octets, with and without a body', async (t) => {
  const { site: s, mp } = await site(t);
  const get = 'GET /SMS_MP/.sms_aut?MPLIST HTTP/1.1\r\nHost: mp\r\n\r\n';
  const wire = [
    get,
    LINE('mn=PC042&dn=CORP'),
    get,
    LINE('mn=PC043&dn=CORP', 'Content-Length: 0\r\n'),
    `${LINE('mn=PC042&dn=CORP', 'Content-Length: 26\r\nContent-Type: text/plain\r\n')}SMS_POST /x HTTP/1.1\r\n\r\nab`,
    LINE('mn=PC043&fkey=Vrai', 'Connection: close\r\n'),
  ].join('');
  for (const pieces of [[wire], wire.split('')]) {
    const back = await sendRaw(mp.port, pieces);
    assert.deepEqual(
      [...back.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((m) => m[1]),
      ['200', '200', '200', '200', '200', '200'],
    );
  }
  assert.equal((await s.records.ccr.find('PC042'))[0]!.requestCount, 4);
  assert.equal((await s.records.ccr.find('PC043'))[0]!.forced, true);
});

test('a body that is too long and paths in another case', async (t) => {
  const { site: s, mp } = await site(t);
  const long = await sendRaw(mp.port, [LINE('mn=PC042', 'Content-Length: 5000\r\nConnection: close\r\n'), 'x'.repeat(5000)]);
  assert.match(long, /^HTTP\/1\.1 413 /);
  const upper = await sendRaw(mp.port, [
    LINE('mn=PC042', 'Connection: close\r\n').replace('/sms_mp/machine.ccr', '/SMS_MP/MACHINE.CCR'),
  ]);
  assert.match(upper, /^HTTP\/1\.1 200 /);
  for (const verb of ['GET', 'POST', 'PUT', 'CCM_POST', 'M-SEARCH', 'CHECKOUT'])
    assert.match(
      await sendRaw(mp.port, [LINE('mn=PC043', 'Connection: close\r\n').replace('SMS_POST', verb)]),
      /^HTTP\/1\.1 40[04] /,
      verb,
    );
  assert.equal((await s.records.ccr.list()).items.length, 1);
});

test('a flood is answered 429 with Retry-After and cannot fill the audit log; who waits gets in again', async (t) => {
  const { site: s, mp } = await site(t);
  const clock = s.clock as ReturnType<typeof manual>;
  const answers = [];
  for (let i = 0; i < 300; i++) answers.push(await smsPost(mp.url, `mn=STRANGER${i}&fkey=True`));
  assert.equal(answers.filter((a) => a.status === 404).length, 200);
  const limited = answers.filter((a) => a.status === 429);
  assert.equal(limited.length, 100);
  assert.equal(limited[0]!.headers['retry-after'], '1');
  assert.equal(JSON.parse(limited[0]!.text).code, 'PP_API_RATE');
  assert.equal((await s.records.audit.list({ what: 'sms_post.refused' })).items.length, 5);
  assert.equal((await smsPost(mp.url, 'mn=PC042')).status, 429);
  await clock.advance(1000);
  assert.equal((await smsPost(mp.url, 'mn=PC042')).status, 200);
  await clock.advance(60_000);
  await mp.close();
  const { items } = await s.records.audit.list({ what: 'sms_post.refused' });
  assert.equal(items.length, 6);
  assert.deepEqual(items[0]!.detail, { count: 296, codes: { PP_MP_NOT_HERE: 195, PP_API_RATE: 101 } });
  assert.equal(items[0]!.address, '127.0.0.1');
});

test('what was only counted is written when the point stops', async (t) => {
  const { site: s, mp } = await site(t);
  for (let i = 0; i < 9; i++) await smsPost(mp.url, 'mn=a@b');
  await mp.close();
  const { items } = await s.records.audit.list({ what: 'sms_post.refused' });
  assert.equal(items.length, 6);
  assert.deepEqual(items[0]!.detail, { count: 4, codes: { PP_REQUEST_NAME: 4 } });
  assert.equal(items[5]!.object, 'a@b');
});
