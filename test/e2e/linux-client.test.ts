import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { writeLinuxPackage } from '#client/linux';
import { selfMade } from '#test/certificate';
import { pushpoint } from '#test/command';
import { LinuxTarget } from '#test/linux-push';
import { need } from '#test/need';
import { eventually, WholeSite } from '#test/whole-site';

/** The client of Linux and two sites as they are run: by ccmsetup.sh and mobileclient.tcf onto the machine, and from then on by policy. */

const NAME = hostname().split('.')[0]!;

interface Shown {
  version: string;
  approval: string;
  obsolete: boolean;
  states: { stateId: number; version?: string; proven: boolean }[];
}

/** siteOf is a site that serves its points over HTTPS with a certificate of its own making. */
async function siteOf(t: TestContext, code: string): Promise<{ site: WholeSite; mp: string; pin: string }> {
  const certificate = selfMade();
  const site = await new WholeSite(code).create();
  t.after(() => site.close());
  for (const [file, text] of Object.entries({ 'mp.pem': certificate.cert, 'mp.key': certificate.key }))
    writeFileSync(join(site.folder, file), text, { mode: 0o600 });
  const [cert, key] = [join(site.folder, 'mp.pem'), join(site.folder, 'mp.key')];
  await site.spawn(['--listen-https', '127.0.0.1:0', '--cert', cert, '--key', key]);
  const [ready] = site.said.split('\n');
  const { pointsHttps: mp } = JSON.parse(ready!) as { pointsHttps: string };
  await site.send('PUT', '/points/mp', { address: mp });
  return { site, mp, pin: certificate.pin };
}

/** added builds a package of the Linux client and takes it in; `change` makes its agent another one. */
async function added(site: WholeSite, version: string, change = ''): Promise<{ sha256: string; size: number }> {
  const folder = join(site.folder, `package-${version}`);
  const definition = await writeLinuxPackage(folder, version);
  const path = join(folder, 'CcmExec.mjs');
  appendFileSync(path, change);
  const agent = readFileSync(path);
  const sha256 = createHash('sha256').update(agent).digest('hex');
  const json = JSON.parse(readFileSync(definition, 'utf8')) as { name: string; payload: { sha256: string } };
  json.name = `linux-${version}`;
  json.payload.sha256 = sha256;
  writeFileSync(definition, JSON.stringify(json));
  const done = await pushpoint(['package', 'add', definition, '--data', site.data]);
  assert.equal(done.code, 0, done.err);
  return { sha256, size: agent.length };
}

test(
  'a client on Linux is approved, upgraded, moved to another site and removed by the policies of real sites',
  need('curl', 'openssl'),
  async (t) => {
    const [{ site: p01, mp, pin }, { site: p02, mp: elsewhere, pin: other }] = await Promise.all([
      siteOf(t, 'P01'),
      siteOf(t, 'P02'),
    ]);
    const payload = await added(p01, '1.0.0');
    await added(p01, '2.0.0', '\n//2');
    const target = new LinuxTarget(t);
    for (const folder of ['etc', 'opt', 'run', 'var/lib', 'var/log']) mkdirSync(join(target.root, folder), { recursive: true });
    const before = target.everything();
    const ends = { certificatePins: [other, pin], registration: undefined };
    target.push([mp], Buffer.alloc(0), { payload: { file: 'CcmExec.mjs', version: '1.0.0', ...payload }, ...ends });
    const logs = () =>
      ['CcmExec', 'ClientLocation', 'ClientIDManagerStartup', 'PolicyAgent']
        .map((name) => target.text(`var/log/pushpoint-client/${name}.log`))
        .join('') + target.log;
    const look = async (site: WholeSite) => (await site.call<Shown>('GET', `/clients/${NAME}`)).body;
    /** comes waits for something, and says what the client said if it does not come. */
    const comes = (what: string, holds: () => Promise<boolean> | boolean) =>
      eventually(what, holds, 45_000).catch((cause: unknown) => assert.fail(`${String(cause)}\n${logs()}`));
    /** asks gives a policy; the client asks for it when it starts, and every hour. */
    const asks = async (site: WholeSite, body: { kind: string; [more: string]: unknown }) => {
      await site.send('POST', '/policies', { clients: [NAME], ...body });
      // What was asked before may stand there still.
      await comes('it to be asked', async () =>
        Object.hasOwn((await site.get<{ wanted: object }>(`/clients/${NAME}`)).wanted, body.kind),
      );
      spawnSync('sh', [join(target.root, 'opt/pushpoint-client/service.sh'), 'restart']);
    };

    assert.equal(await target.run(), 0, target.log);
    await comes('its registration', async () => (await look(p01)).approval === 'pending');
    await p01.send('POST', `/clients/${NAME}/approve`);

    await asks(p01, { kind: 'upgrade', package: 'linux-2.0.0' });
    await comes('the new version', async () => (await look(p01)).version === '2.0.0');
    // The upgrade says itself how it went, signed by the client.
    await comes('its last word', async () =>
      (await look(p01)).states.some(({ stateId, version, proven }) => stateId === 400 && version === '2.0.0' && proven),
    );

    await asks(p01, { kind: 'migrate', to: 'P02', managementPoints: [elsewhere] });
    await comes('it at P02', async () => (await look(p02)).version === '2.0.0');
    assert.equal((await look(p01)).obsolete ?? true, true);
    await comes('P01 to be done', async () =>
      (await p01.get<{ items: { state: string }[] }>('/policies')).items.every(({ state }) => state === 'finished'),
    );

    await asks(p02, { kind: 'uninstall' });
    await comes('nothing of ours to be left', () => {
      const now = target.everything();
      return now.size === before.size && [...now].every(([path, what]) => before.get(path) === what);
    });
    await comes(
      'its farewell at P02',
      async () => (await p02.get<{ items: { state: string }[] }>('/policies')).items[0]!.state === 'finished',
    );
  },
);
