import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { LabDomain, LabHost, type LabHostOptions } from '#lab/host';
import { AheadClock, PASSWORD, PushSite } from '#test/push-site';

/** LabKind is what is special about a lab host. */
export type LabKind = Partial<LabHostOptions>;

const domain = new LabDomain({
  netbios: 'CORP',
  dns: 'corp.example',
  accounts: [
    { username: 'push', password: PASSWORD, administrator: true },
    { username: 'second', password: PASSWORD, administrator: true },
  ],
});

/** labSite is a site with one push account and some hosts it has imported, which are stopped before the site is. */
export async function labSite(
  t: TestContext,
  hosts: Record<string, LabKind>,
): Promise<{ site: PushSite; hosts: Record<string, LabHost> }> {
  const site = await PushSite.create({ clock: new AheadClock() });
  t.after(() => site.close());
  await site.addAccount('CORP\\push');
  const made: Record<string, LabHost> = {};
  for (const [name, kind] of Object.entries(hosts)) {
    const folder = join(site.folder, 'hosts', name);
    const host = new LabHost({ name, profile: 'windows-11', folder, clock: systemClock, random: systemRandom, domain, ...kind });
    await host.start();
    t.after(() => host.stop());
    made[name] = host;
  }
  // A host that is off has no port yet; 1 is one where nobody listens.
  const rows = Object.values(made).map((host) => `${host.name},CORP,${host.fqdn},${host.address},${host.port || 1}`);
  await site.importCsv(['name,domain,fqdn,ip,smbPort', ...rows, ''].join('\r\n'));
  return { site, hosts: made };
}

/** locksOn are the lock files on a host. */
export async function locksOn(site: PushSite, name: string): Promise<string[]> {
  const { readdir } = await import('node:fs/promises');
  const names = await readdir(join(site.folder, 'hosts', name, 'Windows')).catch(() => []);
  return names.filter((n) => n.startsWith('SMSClientInstall'));
}
