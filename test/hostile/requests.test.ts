import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import type { ManualClock } from '#base/clock';
import { Location, matches, signRequest, SiteInformation, SIGNATURE_HEADERS } from '#messages';
import { fuzzCount, fuzzSeed, mutated, Numbers } from '#test/fuzz';
import { Pc } from '#test/pc';
import { manual, TestSite } from '#test/points';

/** Requests that are nothing but a head, with octets changed: what is not refused is the same question, or another one that anybody may ask. */

const TABLES = [
  'client',
  'client_state',
  'client_event',
  'client_conflict',
  'ddr',
  'resource',
  'ccr',
  'fallback_status',
  'package',
];

async function digestOf(site: TestSite): Promise<string> {
  const parts = TABLES.map((table) => `(select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from ${table} t)`);
  const [row] = await site.parts.database.query<{ digest: string }>(`select concat_ws(' ', ${parts.join(', ')}) as digest`);
  return row!.digest;
}

/** ask sends octets and gives what came back, one answer at most. */
async function ask(port: number, octets: Uint8Array): Promise<string> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  let back = '';
  const isWhole = () => {
    const end = back.indexOf('\r\n\r\n');
    const length = Number(/^content-length: (\d+)/im.exec(back)?.[1] ?? 0);
    return end !== -1 && back.length >= end + 4 + length;
  };
  socket.setEncoding('latin1').on('data', (part: string) => {
    back += part;
    if (isWhole()) socket.end();
  });
  socket.on('error', () => {});
  // A head that may still become one is waited for by the point: it hears that nothing more comes.
  socket.setTimeout(5000, () => socket.end());
  const closed = once(socket, 'close');
  if (Buffer.from(octets).includes('\r\n\r\n')) socket.write(octets);
  else socket.end(octets);
  await closed;
  return back;
}

interface Head {
  line: string;
  signed: string;
}

/** headOf is what a signature covers of a head, as a reader finds it who is more patient than the point. */
function headOf(octets: Uint8Array): Head {
  const [line = '', ...headers] = Buffer.from(octets).toString('latin1').split('\r\n\r\n')[0]!.split('\r\n');
  const names: string[] = Object.values(SIGNATURE_HEADERS);
  const found = headers.flatMap((header) => {
    const [name = '', ...value] = header.split(':');
    return names.includes(name.toLowerCase()) ? [`${name.toLowerCase()}:${value.join(':').trim()}`] : [];
  });
  // The version is the hop's, and nobody signs it.
  return { line: line.replace(/ HTTP\/\d\.\d$/, ''), signed: found.toSorted().join('\n') };
}

const LOCATOR = [
  '/sms_slp/location?address=10.1.2.3&adSite=HQ',
  '/sms_slp/slp.dll?site&ip=10.1.2.3&ad=HQ',
  '/sms_slp/sites/P01',
  '/ccm_system/location?address=10.1.2.3',
];

/** What a target or a header is made into beside single letters. */
const WORDS = [
  '%00',
  '%0d%0aX:y',
  '%2e%2e%2f',
  '..',
  ';',
  '&',
  '?',
  '=',
  '%',
  "'--",
  '{"event":"forged"}',
  '\u00ff',
  '9'.repeat(40),
  '${x}',
  '|',
];

/** retyped changes a few letters within the lines of a head, so that it stays a head. */
function retyped(octets: Uint8Array, numbers: Numbers): Uint8Array {
  const letters = Array.from(Buffer.from(octets).toString('latin1'));
  for (let changes = 1 + numbers.below(3); changes > 0; changes--) {
    const at = numbers.below(letters.length);
    if (/[\r\n]/.test(letters[at]!)) continue;
    const letter = numbers.below(3) === 0 ? numbers.pick(WORDS) : String.fromCharCode(0x21 + numbers.below(0x5e));
    letters.splice(at, numbers.below(2), ...(numbers.below(4) === 0 ? [] : [letter]));
  }
  return new Uint8Array(Buffer.from(letters.join(''), 'latin1'));
}

test('a thousand changed heads of each request without a body: refused or a question that anybody may ask, and no effect', async (t) => {
  const site = await TestSite.make(t, manual());
  await site.know('ZEBRA');
  await site.records.boundary.add(['subnet:10.1.0.0/16'], { by: 'test' });
  const { url, port } = await site.managementPoint();
  const pc = new Pc(site, url);
  const token = await site.records.client.issueToken({
    name: pc.name,
    domain: 'CORP',
    expiresAt: new Date(site.clock.now().getTime() + 36_000_000),
  });
  assert.equal((await pc.register(pc.proven(token))).status, 200);

  const seed = fuzzSeed();
  const numbers = new Numbers(seed);
  const head = (line: string, headers: Record<string, string> = {}) => {
    const lines = Object.entries({ Host: 'mp', Connection: 'close', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    return new Uint8Array(Buffer.from(`${line} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1'));
  };
  const policy = () => {
    const path = '/ccm_system/policy';
    const at = { time: site.clock.now(), nonce: randomBytes(16).toString('base64url') };
    return head(`GET ${path}`, signRequest({ method: 'GET', path, body: new Uint8Array() }, pc.signer, at));
  };
  const same = (said: string, octets: Uint8Array, of: Uint8Array) =>
    assert.deepEqual(headOf(octets), headOf(of), `an answer to what nobody signed: ${said}`);
  const located = (said: string) => {
    const body: unknown = JSON.parse(said.slice(said.indexOf('\r\n\r\n') + 4));
    assert.ok(matches(Location, body) || matches(SiteInformation, body), said);
  };
  const text = (wanted: RegExp) => (said: string) => assert.match(said, wanted);
  const kinds: [make: () => Uint8Array, granted: (said: string, octets: Uint8Array, of: Uint8Array) => void][] = [
    [policy, same],
    [() => head(`GET ${numbers.pick(LOCATOR)}`), located],
    [
      () => head('SMS_POST /sms_mp/machine.ccr?mn=PC999&dn=CORP&fkey=0'),
      () => assert.fail('a CCR for a machine that is not known'),
    ],
    [() => head('GET /SMS_MP/.sms_aut?MPLIST'), text(/<MPList|<MPCertificate|MPKeyInformation/i)],
    [() => head('GET /CCM_Client/ccmsetup.exe', { Range: 'bytes=0-9,20-29' }), text(/^etag: "[0-9a-f]{64}"/im)],
  ];

  const before = await digestOf(site);
  const answers = new Map<string, number>();
  for (const [make, granted] of kinds) {
    const changed: { octets: Uint8Array; of: Uint8Array }[] = [];
    while (changed.length < fuzzCount(1000)) {
      const of = make();
      const octets = numbers.below(4) === 0 ? mutated(of, numbers, [of]) : retyped(of, numbers);
      if (!Buffer.from(octets).equals(of)) changed.push({ octets, of });
    }
    const one = async ({ octets, of }: (typeof changed)[number]) => {
      const said = await ask(port, octets);
      const what = `seed ${seed}: ${JSON.stringify(Buffer.from(octets).toString('latin1'))}: ${said.slice(0, 300)}`;
      const status = said === '' ? 'closed' : /^HTTP\/1\.1 (\d\d\d) /.exec(said)?.[1];
      assert.ok(status !== undefined && !status.startsWith('5'), what);
      answers.set(status, (answers.get(status) ?? 0) + 1);
      if (status.startsWith('2')) granted(said, octets, of);
      else if (status !== 'closed') assert.match(status, /^(304|4\d\d)$/, what);
    };
    // Some at a time; those that keep the point waiting keep no other one waiting.
    const left = changed.values();
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        for (const next of left) await one(next);
      }),
    );
    // So that no limiter gets in the way.
    await (site.clock as ManualClock).advance(60_000);
  }
  // Else they would all have failed at the door, and shown nothing of what is behind it.
  for (const status of ['200', '400', '401', '404']) assert.ok(answers.get(status)! > 50, JSON.stringify([...answers]));
  assert.equal(await digestOf(site), before);
  for (const line of site.logged) {
    assert.ok(line.endsWith('\n') && !/[\r\n\u2028]/.test(line.slice(0, -1)), JSON.stringify(line));
    const { event } = JSON.parse(line) as { event: string };
    assert.notEqual(event, 'request failed', line);
  }
});
