import { createHash, X509Certificate } from 'node:crypto';
import { hostname } from 'node:os';
import { flowHandlers, Flows } from '#components/flows';
import { Hierarchy } from '#components/hierarchy';
import { hierarchyPoint, type HierarchyPoint } from '#points/hierarchy';
import { openVault } from '#store/vault';
import { HttpPeer } from '#wire/http';
import { version, type OpenSite } from './site-folder.ts';

/** Lines are what a process with the role `hierarchy` has: who keeps the line, who says what goes over it, and the point where it also has the points listener. */
export interface Lines {
  hierarchy: Hierarchy;
  flows: Flows;
  point: HierarchyPoint | undefined;
}

/** openLines makes the lines to the parent and the children of a site; none is dialled yet. */
export async function openLines(site: OpenSite, o: { point: boolean }): Promise<Lines> {
  const { folder, records, database, content, clock, random, log } = site;
  const vault = await openVault({ dir: folder.vault });
  const flowParts = { ...records, database, content, clock, log: log.with({ component: 'flows' }) };
  const handlers = flowHandlers(flowParts);
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
    // Of a data folder one process has this role (role-lock.ts), so the folder is who it is.
    owner: createHash('sha256').update(`${hostname()}\n${folder.path}`).digest('hex'),
    dial: ({ url, pin }) => new HttpPeer({ url, pin, clock }),
    log: log.with({ component: 'hierarchy' }),
  });
  const flows = new Flows(flowParts, {
    fetchContent: (sha256, from) => hierarchy.fetchContent(sha256, from),
  });
  const point = o.point ? await hierarchyPoint({ ...parts, log: log.with({ point: 'hierarchy' }) }) : undefined;
  return { hierarchy, flows, point };
}

/** keyPin is the SHA-256 of the key in a certificate, which children take note of when they join. */
export function keyPin(cert: Buffer): string {
  const spki = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('hex');
}
