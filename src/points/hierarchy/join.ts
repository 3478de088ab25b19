import { raise } from '#base/errors';
import { joinMac, macHolds, type LinkHello, type LinkJoin, type LinkJoined } from '#messages';
import type { Site } from '#records/site';
import type { Sql } from '#store/database';
import type { HierarchyParts } from './parts.ts';

/** pathOf is this site and the ones above it, nearest first. */
export async function pathOf(parts: HierarchyParts, own: Site): Promise<string[]> {
  const up = await parts.link.parent();
  return [own.code, ...(up?.state === 'joined' ? up.path : [])];
}

/** helloOf is what this site says of itself to anybody. */
export async function helloOf(parts: HierarchyParts): Promise<LinkHello> {
  const own = await parts.site.here();
  return {
    site: own.code,
    kind: own.kind,
    version: parts.version,
    publicKey: parts.key.publicKey,
    sealKey: parts.sealKey,
    path: await pathOf(parts, own),
    serverTime: parts.clock.now().toISOString(),
  };
}

/** joinSite lets a site join below this one, if it proves a token that was not used; all of it in one transaction. */
export async function joinSite(parts: HierarchyParts, join: LinkJoin, address: string): Promise<LinkJoined> {
  const { database, link, site, audit, clock, version } = parts;
  const hello = await helloOf(parts);
  const { mac, ...said } = join;
  const key = await database.transaction(async (tx) => {
    const state = await link.token(tx, join.tokenId);
    // Who cannot prove the token learns nothing more.
    if (!state || !macHolds(joinMac(state.key, 'child', hello, said), mac)) throw raise('PP_LINK_TOKEN');
    if (parts.pin !== undefined && join.pin !== parts.pin) throw raise('PP_LINK_PIN', { url: 'this listener' });
    const there = await link.get(join.code, tx);
    // The answer to a join may get lost: the same site, with the same key, may ask again with the same token.
    const again = state.usedBy === join.code && there?.state === 'joined' && there.publicKey === join.publicKey;
    if (again && !state.expired) return state.key;
    await refuseWrong(parts, tx, join, hello);
    await link.useToken(tx, join.tokenId, state, join.code);
    await site.learn({ code: join.code, kind: join.kind, parent: hello.site }, tx);
    const { code, publicKey, sealKey, version: theirs } = join;
    await link.join(tx, { site: code, role: 'child', publicKey, sealKey, version: theirs });
    const detail = { kind: join.kind, token: join.tokenId, version: theirs };
    await audit.write({ who: `site ${code}`, what: 'site.join', object: code, detail, address }, tx);
    return state.key;
  });
  return {
    site: hello.site,
    path: hello.path,
    version,
    serverTime: clock.now().toISOString(),
    mac: joinMac(key, 'parent', hello, said),
  };
}

/** refuseWrong raises where the hierarchy would not be a tree of sites with a code each. */
async function refuseWrong(parts: HierarchyParts, tx: Sql, join: LinkJoin, hello: LinkHello): Promise<void> {
  const { code } = join;
  const parent = hello.site;
  if (hello.kind !== 'primary') throw raise('PP_LINK_PARENT', { code, parent, why: `${parent} is a secondary site` });
  if (code === parent) throw raise('PP_LINK_CODE_USED', { code, why: 'it is the code of the parent itself' });
  if (hello.path.includes(code)) throw raise('PP_LINK_LOOP', { code, parent, why: `${code} is above ${parent}` });
  if (join.branch.includes(parent)) throw raise('PP_LINK_LOOP', { code, parent, why: `${parent} is below ${code}` });
  const there = await parts.link.get(code, tx);
  if (there?.state === 'joined' && there.publicKey !== join.publicKey)
    throw raise('PP_LINK_CODE_USED', { code, why: `a child of ${parent} has it since ${there.joinedAt.toISOString()}` });
  const known = new Map((await parts.site.list()).map((one) => [one.code, one]));
  const other = known.get(code);
  if (other?.parent !== undefined && other.parent !== parent)
    throw raise('PP_LINK_CODE_USED', { code, why: `${other.parent} has a child of that code` });
  for (const below of join.branch) {
    const same = known.get(below);
    if (same && same.parent !== undefined && !isBelow(known, below, code))
      throw raise('PP_LINK_CODE_USED', { code: below, why: `it is below ${code} and below ${same.parent} too` });
  }
}

function isBelow(known: ReadonlyMap<string, Site>, site: string, above: string): boolean {
  const seen = new Set<string>();
  for (let at: string | undefined = site; at !== undefined && !seen.has(at); at = known.get(at)?.parent) {
    if (at === above) return true;
    seen.add(at);
  }
  return false;
}
