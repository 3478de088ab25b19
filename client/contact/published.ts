import type { TargetHost } from '#client/host';

/** A name that DNS gives is put into an address, so it is no more than a name. */
const HOST = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$/;
const HTTPS_PORTS: ReadonlySet<number> = new Set([443, 8443]);

/** isProof tells whether https alone shows that a point is the site's: it has the pinned certificate, or it is one that is known to be. */
export function isProof(point: string, isPinned: boolean, known: readonly string[]): boolean {
  if (!point.startsWith('https:')) return false;
  const { origin } = new URL(point);
  return isPinned || known.some((one) => new URL(one).origin === origin);
}

/**
 * publishedPoints gives the management points of a site that DNS names: `_mssms_mp_<site>._tcp.<domain>` (facts F5). Priority and weight are not
 * heeded, as in the original; the port tells whether it is https.
 */
export async function publishedPoints(host: TargetHost, site: string, domain: string | undefined): Promise<string[]> {
  if (!host.srv || domain === undefined || !/^[A-Z0-9]{3}$/i.test(site)) return [];
  const found = await host.srv(`_mssms_mp_${site.toLowerCase()}._tcp.${domain}`).catch(() => []);
  const usable = found.filter(({ name, port }) => HOST.test(name) && port > 0 && port <= 65_535);
  return usable.slice(0, 32).map(({ name, port }) => `http${HTTPS_PORTS.has(port) ? 's' : ''}://${name}:${port}`);
}
