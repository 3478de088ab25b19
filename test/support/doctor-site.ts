import { readdir, readFile, stat } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemRandom } from '#base/random';
import { askPoint, Doctor, type DoctorNetwork } from '#components/ccm';
import { BoundaryRecord } from '#records/boundary';
import { DiscoveryRecord } from '#records/discovery';
import { DoctorRecord, type Check, type Examination } from '#records/doctor';
import { LinkRecord } from '#records/link';
import type { LabHost } from '#lab/host';
import { greetSmb, speaksSmb1 } from '#wire/smb';
import { waitFor, type PushSite } from '#test/push-site';

/** startDoctor starts the taker of examinations of a site; `change` is what its network says otherwise. */
export async function startDoctor(
  t: TestContext,
  site: PushSite,
  o: { network?: Partial<DoctorNetwork>; local?: () => Promise<Check[]> } = {},
): Promise<{ record: DoctorRecord; doctor: Doctor }> {
  const { database, clock, records } = site;
  const boundary = new BoundaryRecord(database, clock);
  const record = new DoctorRecord(database, clock);
  const doctor = new Doctor({
    ...site.parts(),
    doctor: record,
    boundary,
    link: new LinkRecord(database, clock, systemRandom),
    discovery: new DiscoveryRecord(database, clock, { ...records, boundary }),
    network: { ...site.network(), greet: greetSmb, speaksSmb1, askPoint, reverse: async () => [], ...o.network },
    local: o.local ?? (async () => []),
  });
  await doctor.start();
  t.after(() => doctor.stop());
  return { record, doctor };
}

/** examined asks for an examination and waits until it is made. */
export async function examined(record: DoctorRecord, host?: string, logon = host !== undefined): Promise<Examination> {
  const { id } = await record.request({ host, logon, by: 'test' });
  let now: Examination | undefined;
  await waitFor(`the examination of ${host ?? 'the site server'}`, async () => {
    now = await record.byId(id);
    return now?.finishedAt !== undefined;
  });
  return now!;
}

/** checkOf gives one check by its name. */
export function checkOf({ checks }: Pick<Examination, 'checks'>, name: string): Check {
  const found = checks.find((check) => check.name === name);
  if (!found) throw new Error(`no check ${name} among ${checks.map((check) => check.name).join(', ')}`);
  return found;
}

/** stateOf is all that a lab machine has: files with their times and bytes, services, and its registry. */
export async function stateOf(host: LabHost, folder: string): Promise<unknown> {
  const entries = await readdir(folder, { recursive: true });
  const files = await Promise.all(
    entries.sort().map(async (name) => {
      const path = join(folder, name);
      const { mtimeMs, size, mode } = await stat(path);
      const isFolder = (mode & 0o170000) === 0o040000;
      const hash = isFolder
        ? 'folder'
        : createHash('sha256')
            .update(await readFile(path))
            .digest('hex');
      return [name, hash, isFolder ? 0 : size, mtimeMs];
    }),
  );
  const services = host.machine.services
    .list()
    .map((one) => [one.name, one.displayName, one.binaryPath, one.startType, one.status()]);
  const registry = (node: ReturnType<typeof host.machine.registry.hive>): unknown => ({
    values: [...node.values.entries()],
    children: [...node.children.entries()].map(([name, child]) => [name, registry(child)]),
  });
  return { files, services, registry: registry(host.machine.registry.hive('HKLM')) };
}
