import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { startFleet, type Fleet } from '#lab/fleet';
import type { LabHost } from '#lab/host';
import { eventually, WholeSite } from '#test/whole-site';

/** The folders of the queue, as scripts and people have used them since 2003. */

let site: WholeSite;
let fleet: Fleet;
let box: string;
let retry: string;

before(async () => {
  site = new WholeSite();
  box = join(site.data, 'inboxes', 'ccr.box');
  retry = join(site.data, 'inboxes', 'ccrretry.box');
  fleet = await startFleet({
    windows: 3,
    folder: join(site.folder, 'hosts'),
    clock: systemClock,
    random: systemRandom,
    addresses: '127.23.1.1',
  });
  await (await site.create()).run();
  await site.prepare({ csv: fleet.csv(), account: fleet.account });
});

after(async () => {
  await fleet?.stop();
  await site?.close();
});

/** The sample of D4, with another machine in it. */
const sample = (host: LabHost) => `[NT Client Configuration Request]

Machine Name=${host.name}

Domain=CORP

IP Address 1=${host.address}

Initial Request Date=02/20/2007 10:35:19



[IP Address ]

IP Address 1=${host.address}



[Resource Names ]

Resource Names 1=${host.name}



[Request Processing]

Latest Processing Attempt=02/21/2007 09:37:28

Last Error Code=5

Number of Processing Attempts=99

Error Event Created=02/21/2007 10:49:35



[IDENT]

TYPE=Client Config Request File
`;

/** drop puts a file into ccr.box the way a careful program does. */
function drop(name: string, text: string): void {
  writeFileSync(join(box, `${name}.part`), text);
  renameSync(join(box, `${name}.part`), join(box, name));
}

/** sections reads a CCR file as a stranger would: names as they stand between the brackets, keys and values as they stand. */
function sections(text: string): Record<string, Record<string, string>> {
  const found: Record<string, Record<string, string>> = {};
  let current: Record<string, string> = {};
  for (const line of text.split('\r\n').filter((one) => one !== '')) {
    const name = /^\[(.*)\]$/.exec(line)?.[1];
    const mark = line.indexOf('=');
    if (name !== undefined) found[name] = current = {};
    else if (mark > 0) current[line.slice(0, mark)] = line.slice(mark + 1);
    else assert.fail(`no line of a CCR file: ${line}`);
  }
  return found;
}

const DATE = /^(\d\d)\/(\d\d)\/(\d{4}) (\d\d):(\d\d):(\d\d)$/;

function minutesFromNow(date: string): number {
  const [month, day, year, hour, minute, second] = DATE.exec(date)!.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return (Date.UTC(year, month - 1, day, hour, minute, second) - systemClock.now().getTime()) / 60_000;
}

test('a CCR file for a machine that denies access comes back in ccrretry.box with true values, merges, and is cancelled by deletion', async () => {
  const { host } = fleet.hosts[0]!;
  await host.set({ ordinaryRights: true });
  const file = join(retry, `${host.name}.ccr`);
  drop('from-a-script.ccr', sample(host));
  await eventually('the file of the failed try', () => existsSync(file));
  const first = readFileSync(file, 'utf8');
  const told = sections(first);
  assert.deepEqual(Object.keys(told), [
    'NT Client Configuration Request',
    'IP Address ',
    'Resource Names ',
    'Request Processing',
    'Pushpoint',
    'IDENT',
  ]);
  assert.deepEqual(told['NT Client Configuration Request'], {
    'Machine Name': host.name,
    Domain: 'CORP',
    'IP Address 1': host.address,
    'Initial Request Date': '02/20/2007 10:35:19',
  });
  assert.deepEqual(told['IP Address '], { 'IP Address 1': host.address });
  assert.deepEqual(told['Resource Names '], { 'Resource Names 1': host.name });
  assert.deepEqual(told['IDENT'], { TYPE: 'Client Config Request File' });
  const { 'Latest Processing Attempt': latest, ...processing } = told['Request Processing']!;
  assert.deepEqual(
    processing,
    { 'Last Error Code': '5', 'Number of Processing Attempts': '1' },
    'what stood in the sample is not ours',
  );
  assert.ok(Math.abs(minutesFromNow(latest!)) < 1, latest);
  const next = minutesFromNow(told['Pushpoint']!['Next Processing Attempt']!);
  assert.ok(next > 58 && next < 65, `the next try is in ${next} minutes`);
  const before = await site.show(host.name);
  assert.deepEqual([before.state, before.source, before.lastErrorCode], ['retry', 'file', 5]);
  assert.deepEqual(readdirSync(box).sort(), ['bad', 'inproc']);
  assert.deepEqual(readdirSync(join(box, 'inproc')), []);

  drop('again.ccr', `[NT Client Configuration Request]\nMachine Name = ${host.name.toLowerCase()}\nForced CCR = TRUE\n`);
  await eventually('the second try', () => /Number of Processing Attempts=2\r\n/.test(readFileSync(file, 'utf8')));
  const merged = await site.show(host.name);
  assert.deepEqual([merged.id, merged.requestCount, merged.forced, merged.state], [before.id, 2, true, 'retry']);
  const asked = sections(readFileSync(file, 'utf8'))['NT Client Configuration Request']!;
  assert.equal(asked['Forced CCR'], 'TRUE');
  assert.equal(asked['Client Request Count'], '2');
  assert.equal(asked['Initial Request Date'], '02/20/2007 10:35:19');
  assert.deepEqual(readdirSync(retry), [`${host.name}.ccr`], 'one file for one machine');

  rmSync(file);
  const gone = await site.until(host.name, 'cancelled');
  assert.equal(gone.attempts, 2);
  assert.deepEqual(readdirSync(retry), []);
});

test('a CCR file of two lines for a healthy machine ends in a client, and in no file', async () => {
  const { host } = fleet.hosts[1]!;
  drop('two-lines.CCR', `[NT Client Configuration Request]\r\nMachine Name=${host.name}\r\n`);
  await eventually('the CCR', async () => (await site.call('GET', `/ccrs/${host.name}`)).status === 200);
  assert.equal((await site.until(host.name)).state, 'complete');
  await eventually('the retry folder to be empty', () => readdirSync(retry).length === 0);
  const log = readFileSync(join(site.data, 'logs', 'ccm.log'), 'utf8');
  assert.match(log, new RegExp(`Received request: "two-lines.CCR" for machine name: "${host.name}" on queue: "Incoming"`));
});

test('what is no CCR stands in bad, with the reason beside it, and makes none', async () => {
  drop('wrong.ccr', '[NT Client Configuration Request]\r\nMachine Name=two words\r\n');
  drop('picture.ccr', '\u0000\u0001GIF89a');
  for (const name of ['wrong.ccr', 'picture.ccr']) {
    // The reason is there first.
    await eventually(`${name} to be put aside`, () => existsSync(join(box, 'bad', name)));
    assert.ok(readFileSync(join(box, 'bad', `${name}.reason`), 'utf8').length > 20);
  }
  const { items } = await site.get<{ items: unknown[] }>('/ccrs');
  assert.equal(items.length, 2);
});
