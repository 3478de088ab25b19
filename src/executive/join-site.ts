import { readFileSync } from 'node:fs';
import { PushpointError, raise } from '#base/errors';
import { askToJoin } from '#components/hierarchy';
import { LinkTokenFile, readLink, tokenKeyOf } from '#messages';
import { pointAddress, validateCode } from '#records/site';
import type { Sql } from '#store/database';
import { readVaultPublicKey } from '#store/vault';
import { HttpPeer } from '#wire/http';
import { furnish, makeSite, type CreatedSite, type NewSite } from './create-site.ts';
import { DataFolder, type SiteFile } from './data-folder.ts';
import { openSite, version, type OpenSite } from './site-folder.ts';

/** JoinWish is what `site join` is told. */
export interface JoinWish extends NewSite {
  /** URL of the points listener of the parent. */
  parent: string;
  tokenFile: string;
  /** A child primary instead of a secondary. */
  primary: boolean;
}

/** JoinedSite is the answer. */
export interface JoinedSite extends CreatedSite {
  kind: 'primary' | 'secondary';
  parent: string;
  /** Whether the folder held the site already. */
  again: boolean;
  /** SHA-256 of the parent's TLS key, where it was reached over HTTPS. */
  pin: string | undefined;
}

function readToken(file: string): LinkTokenFile {
  let octets: Uint8Array;
  try {
    octets = new Uint8Array(readFileSync(file));
  } catch (cause) {
    throw raise('PP_LINK_TOKEN_FILE', { file, why: 'it cannot be read' }, { cause });
  }
  try {
    return readLink(LinkTokenFile, octets);
  } catch (cause) {
    // The reason names a field and a rule, never the value.
    throw raise('PP_LINK_TOKEN_FILE', {
      file,
      why: cause instanceof PushpointError ? String(cause.params['why']) : 'it is damaged',
    });
  }
}

/** joinSite puts a site below a parent: a new one in a new data folder, or the one that is in the folder. */
export async function joinSite(wish: JoinWish): Promise<JoinedSite> {
  const code = validateCode(wish.code);
  const kind = wish.primary ? 'primary' : 'secondary';
  const token = readToken(wish.tokenFile);
  const url = pointAddress(wish.parent);
  if (token.parent === code) throw raise('PP_LINK_CODE_USED', { code, why: 'it is the code of the parent itself' });
  const folder = new DataFolder(wish.data);
  let pin: string | undefined;
  const ask = async (site: OpenSite) => {
    const asked = await askFrom(site, { code, kind, url, token });
    pin = asked.pin;
    return asked.keep;
  };
  if (!folder.holdsSite()) {
    const made = await makeSite(wish, kind, (at, file) => furnish(at, file, { parent: token.parent, prepare: ask }));
    return { ...made, kind, parent: token.parent, again: false, pin };
  }
  const file = folder.readSite();
  checkSame(folder, file, code, kind, wish);
  if (!wish.dryRun) {
    const site = await openSite(folder, { database: wish.database, connections: 3 });
    try {
      await checkParent(site, code, token.parent);
      const keep = await ask(site);
      await site.database.transaction(keep);
    } finally {
      await site.close();
    }
  }
  return { code, data: folder.path, points: file.points, console: file.console, kind, parent: token.parent, again: true, pin };
}

function checkSame(folder: DataFolder, file: SiteFile, code: string, kind: string, wish: JoinWish): void {
  if (file.code !== code) throw raise('PP_SITE_EXISTS', { data: folder.path, code: file.code });
  if (file.kind !== kind)
    throw raise('PP_CLI_USAGE', {
      why: `${folder.path} holds the ${file.kind} site ${code}; ${file.kind === 'primary' ? 'join it with --primary' : 'join it without --primary'}`,
    });
  if (wish.listen !== undefined || wish.console !== undefined)
    throw raise('PP_CLI_USAGE', { why: `the site in ${folder.path} has its addresses already; change them in site.json` });
}

/** A site has one parent for as long as that one has it. */
async function checkParent({ records, file }: OpenSite, code: string, parent: string): Promise<void> {
  const there = await records.link.parent();
  if (there?.state === 'joined' && there.site !== parent)
    throw raise('PP_LINK_PARENT', { code, parent, why: `it is below ${there.site}` });
  if (file.kind === 'secondary' && (await records.site.here()).parent !== parent)
    throw raise('PP_LINK_PARENT', { code, parent, why: 'a secondary site stays with its parent; make a new one for another' });
  if ((await records.link.list()).some((one) => one.site === parent && one.role === 'child' && one.state === 'joined'))
    throw raise('PP_LINK_LOOP', { code, parent, why: `${parent} is below ${code}` });
}

/** branchOf are the sites below the own one. */
async function branchOf({ records }: OpenSite, code: string): Promise<string[]> {
  const parents = new Map((await records.site.list()).map((one) => [one.code, one.own ? undefined : one.parent]));
  const isBelow = (site: string): boolean => {
    const seen = new Set<string>();
    for (let at = parents.get(site); at !== undefined && !seen.has(at); at = parents.get(at)) {
      if (at === code) return true;
      seen.add(at);
    }
    return false;
  };
  return [...parents.keys()].filter(isBelow);
}

/** askFrom proves the token to the parent, and gives what is to be kept of the answer. */
async function askFrom(
  site: OpenSite,
  o: { code: string; kind: 'primary' | 'secondary'; url: string; token: LinkTokenFile },
): Promise<{ pin: string | undefined; keep: (tx: Sql) => Promise<void> }> {
  const { records, folder, clock, random, sealer } = site;
  const sealKey = await readVaultPublicKey(folder.vault);
  const publicKey = await records.link.publicKey(sealer);
  const branch = await branchOf(site, o.code);
  const peer = new HttpPeer({ url: o.url, clock });
  try {
    const { code, kind, token } = o;
    const tokenKey = tokenKeyOf(token.secret);
    const joined = await askToJoin({ peer, token, tokenKey, code, kind, publicKey, sealKey, branch, version, random });
    const { pin, path } = joined;
    const keep = async (tx: Sql) => {
      await records.site.learn({ code: joined.site, kind: 'primary', parent: path[1] }, tx);
      await records.site.belongTo(joined.site, tx);
      await records.link.join(tx, { ...joined, role: 'parent', url: o.url });
      const detail = { url: o.url, path, pin };
      await records.audit.write({ who: 'site join', what: 'site.join', object: joined.site, detail }, tx);
    };
    return { pin, keep };
  } finally {
    peer.close();
  }
}
