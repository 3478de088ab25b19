import { createHash, X509Certificate } from 'node:crypto';
import { Hierarchy } from '#components/hierarchy';
import { hierarchyPoint, type HierarchyPoint } from '#points/hierarchy';
import type { LinkHandlers } from '#records/link';
import { openVault } from '#store/vault';
import { HttpPeer } from '#wire/http';
import { version, type OpenSite } from './site-folder.ts';

/** Lines are what a process with the role `hierarchy` has: the component, and the point where it also has the points listener. */
export interface Lines {
  hierarchy: Hierarchy;
  point: HierarchyPoint | undefined;
}

/** openLines makes the lines to the parent and the children of a site; none is dialled yet. */
export async function openLines(site: OpenSite, o: { point: boolean }): Promise<Lines> {
  const { folder, records, database, content, clock, random, log } = site;
  const vault = await openVault({ dir: folder.vault });
  const handlers: LinkHandlers = {};
  const parts = {
    ...records,
    database,
    content,
    handlers,
    key: await records.link.key(vault),
    sealKey: vault.publicKey,
    version,
    clock,
    random,
  };
  const hierarchy = new Hierarchy({
    ...parts,
    dial: ({ url, pin }) => new HttpPeer({ url, pin, clock }),
    log: log.with({ component: 'hierarchy' }),
  });
  const point = o.point ? await hierarchyPoint({ ...parts, log: log.with({ point: 'hierarchy' }) }) : undefined;
  return { hierarchy, point };
}

/** keyPin is the SHA-256 of the key in a certificate, which children take note of when they join. */
export function keyPin(cert: Buffer): string {
  const spki = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('hex');
}
