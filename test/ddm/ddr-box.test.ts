import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { systemClock } from '#base/clock';
import { isCode } from '#base/errors';
import { ServerLog, silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { DdrBox } from '#components/ddm';
import { AuditRecord } from '#records/audit';
import { BoundaryRecord } from '#records/boundary';
import { CcrRecord } from '#records/ccr';
import { DiscoveryRecord } from '#records/discovery';
import { parseDevices, ResourceRecord } from '#records/resource';
import { SiteRecord } from '#records/site';
import { testDatabase, type TestDatabase } from '#test/database';

let base: TestDatabase;
let folder: string;
let resource: ResourceRecord;
let box: DdrBox;
let lines: string[];

before(async () => {
  base = await testDatabase();
  const site = new SiteRecord(base.db, systemClock, systemRandom);
  await site.create({ code: 'P01', kind: 'primary' });
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query('truncate resource, resource_source');
  folder = await mkdtemp(path.join(tmpdir(), 'pushpoint-ddm-'));
  const clock = systemClock;
  const site = new SiteRecord(base.db, clock, systemRandom);
  resource = new ResourceRecord(base.db, clock);
  const parts = { site, resource, boundary: new BoundaryRecord(base.db, clock), ccr: new CcrRecord(base.db, clock) };
  lines = [];
  const serverLog = new ServerLog(clock, 'SMS_DISCOVERY_DATA_MANAGER', (line) => void lines.push(line));
  const discovery = new DiscoveryRecord(base.db, clock, parts);
  box = new DdrBox({
    site,
    discovery,
    audit: new AuditRecord(base.db, clock),
    clock,
    log: silentLog,
    serverLog,
    inboxes: folder,
  });
  box.start();
  await there(() => readdir(path.join(folder, 'ddm.box', 'bad_ddrs')));
});
afterEach(async () => {
  await box.stop();
  await rm(folder, { recursive: true });
});

/** there waits for something that comes by itself. */
async function there<T>(look: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await look();
    } catch (error) {
      if (tries > 600) throw error;
      await systemClock.sleep(25);
    }
  }
}

async function drop(name: string, content: string | Uint8Array): Promise<void> {
  await writeFile(path.join(folder, `.${name}`), content);
  await rename(path.join(folder, `.${name}`), path.join(folder, 'ddm.box', name));
}
const reason = (name: string) => there(() => readFile(path.join(folder, 'ddm.box', 'bad_ddrs', `${name}.reason`), 'utf8'));
const machines = async () => (await resource.list()).items.map((d) => d.name);
const come = (...names: string[]) => there(async () => assert.deepEqual(await machines(), names));

/** classic is a DDR as tools of 2003 wrote it. */
const classic = (properties: string[], end = 'AGENTINFO<TOOL><P01><11/20/2026 08:15:00>\r\nFEOF') =>
  `<System>\r\n${properties.map((p) => `BEGIN_PROPERTY\r\n\t${p}\r\nEND_PROPERTY`).join('\r\n')}\r\n${end}\r\n`;

test('a DDR in JSON, DDRs of the old text form, CSV and a list of names are taken in and gone from the folder', async () => {
  await drop('1.ddr', JSON.stringify({ name: 'JSON1', domain: 'CORP', addresses: ['10.1.0.1'], keys: { 'Asset Tag': 'T1' } }));
  await come('JSON1');
  const list = '<16><IP Addresses><11><64><10.1.0.2>\r\n\t<10.2.0.2>';
  const first = classic([
    '<8><Netbios Name><11><64><OLD1>',
    '<68><Name><11><64><Shown as this>',
    '<0><Resource Domain OR Workgroup><11><32><CORP>',
    '<0><Operating System Name and Version><11><128><Microsoft Windows NT Server 10.0>',
    list,
    '<2><Some Unique Thing><11><64><GUID:11111111-2222-3333-4444-555555555555>',
    '<8><Serial><11><64><S-1>',
    '<0><Colour><11><64><red>',
  ]);
  await drop('2.ddr', first + classic(['<8><Netbios Name><11><64><OLD2>']));
  await come('JSON1', 'OLD1', 'OLD2');
  const [old] = await resource.find('OLD1');
  assert.deepEqual(
    [old!.domain, old!.addresses, old!.type, old!.guid, old!.keys, old!.trusted, old!.sources[0]!.at.toISOString()],
    [
      'CORP',
      ['10.1.0.2', '10.2.0.2'],
      'server',
      '11111111-2222-3333-4444-555555555555',
      ['SERIAL=S-1'],
      true,
      '2026-11-20T08:15:00.000Z',
    ],
  );
  assert.match(lines.at(-1)!, /2 new.*not understood: Colour/);
  await drop('3.csv', 'Computer Name;IP Address\r\nCSV1;10.1.0.3\r\n');
  await drop('4.txt', '# of the lab\r\nTXT1\r\n\r\nTXT2.corp.example\r\n');
  await come('CSV1', 'JSON1', 'OLD1', 'OLD2', 'TXT1', 'TXT2');
  await there(async () => assert.deepEqual((await readdir(path.join(folder, 'ddm.box'))).sort(), ['bad_ddrs', 'inproc']));
  assert.deepEqual(await readdir(path.join(folder, 'ddm.box', 'bad_ddrs')), []);
});

test('what is wrong goes to bad_ddrs with the reason, what stands beside it is taken in, and the corrected file may come again', async () => {
  const good = classic(['<8><Netbios Name><11><64><GOOD>']);
  const bad: [string, string | Uint8Array, RegExp][] = [
    [
      'cut.ddr',
      `${good}<System>\r\nBEGIN_PROPERTY\r\n\t<8><Netbios Name><11><64><HALF>`,
      /at 7: it is cut off within a property/,
    ],
    ['end.ddr', classic(['<8><Netbios Name><11><64><HALF>'], ''), /at 1: it is cut off: its end, AGENTINFO, is missing/],
    ['user.ddr', good.replace('System', 'User'), /about a User, not a machine/],
    ['form.ddr', classic(['<eight><Netbios Name><11><64><X>']), /line 3 is not <flags><name>/],
    ['nameless.ddr', classic(['<0><Colour><11><64><red>']), /at 1: the name is not a name of a machine: it is empty/],
    ['future.ddr', good.replace('2026', '2126'), /at 1: its time 2126-11-20T08:15:00.000Z lies in the future/],
    ['json.ddr', '{"name":"PC1"', /PP_IMPORT_UNREADABLE.*it is not JSON/],
    [
      'type.ddr',
      '[{"name":"FINE"},{"name":7},{"name":"PC2","addresses":{"a":1}},"PC3"]',
      /at 2: name is not text\nat 3: addresses is neither/,
    ],
    ['long.ddr', JSON.stringify({ name: 'x'.repeat(1_000_000) }), /longer than 253 characters/],
    ['latin.csv', Buffer.from('name,os\nPC1,B\xfcro\n', 'latin1'), /neither UTF-8 nor UTF-16/],
    ['quote.csv', 'name,os\nFINE2,"Windows ""11"""\nPC9,"never closed\n', /at 3: a quoted field is not closed/],
    ['empty.ddr', '', /it is empty/],
    ['what.doc', 'PC1', /PP_DDR_FILE_NAME/],
  ];
  for (const [name, content] of bad) await drop(name, content);
  for (const [name, content, text] of bad) {
    assert.match(await reason(name), text, name);
    const kept = await there(() => readFile(path.join(folder, 'ddm.box', 'bad_ddrs', name)));
    assert.deepEqual(kept, Buffer.from(content), `${name} is kept as it came`);
    assert.ok((await reason(name)).length < 20_000, `${name} has a reason that can be read`);
  }
  await come('FINE', 'FINE2', 'GOOD');
  await drop('cut.ddr', good + classic(['<8><Netbios Name><11><64><HALF>']));
  await come('FINE', 'FINE2', 'GOOD', 'HALF');
});

test('columns of a file are mapped by whoever imports it', () => {
  const bytes = new TextEncoder().encode('Rechner;IP-Adresse;Standort\r\nPC1;10.0.0.1;Berlin\r\n');
  const { rows, ignored } = parseDevices(bytes, 'csv', { Rechner: 'name', 'ip-adresse': 'ip' });
  assert.deepEqual([rows[0]!.name, rows[0]!.addresses, ignored], ['PC1', ['10.0.0.1'], ['Standort']]);
  assert.throws(
    () => parseDevices(bytes, 'csv', { Rechner: 'nom' }),
    (e) => isCode(e, 'PP_IMPORT_UNREADABLE'),
  );
});
