import { checked, SentPackage } from '#messages';
import type { News, WantedPackage } from '#records/branch';
import type { LinkHandler } from '#records/link';
import type { Package } from '#records/package';
import type { Sql } from '#store/database';
import type { FlowParts } from './branch.ts';

/** How a package says that it came from the parent; those that an administrator added here stay as they are. */
const BY = 'site ';

/** FetchContent reads a content of the parent from an offset on; the bytes are held against their hash afterwards. */
export type FetchContent = (sha256: string, o: { site: string; from: number; size: number }) => AsyncIterable<Uint8Array>;

function newsOf({ name, definition, isDefault, files }: Package): News {
  const body: SentPackage = { name, gone: false, definition, isDefault, files };
  return { key: name, body };
}

/** packageNews is what a child is to know of packages; `told` are the names it was ever told, so that it hears of those that are gone. */
export function packageNews(all: readonly Package[], told: readonly string[]): News[] {
  const names = new Set(all.map(({ name }) => name));
  const gone = told.filter((name) => !names.has(name));
  const body = (name: string): SentPackage => ({ name, gone: true, isDefault: false, files: [] });
  return [...all.map(newsOf), ...gone.map((name) => ({ key: name, body: body(name) }))];
}

/** packageHandler takes packages of the parent. They count once their files are here (fetchPackages). */
export function packageHandler({ package: packages, branch }: FlowParts): LinkHandler {
  return {
    takesFrom: ['parent'],
    async apply(tx, { from, items }) {
      for (const { body } of items) {
        const sent = checked(SentPackage, body, 'package');
        const there = await packages.get(sent.name, tx);
        if (there && !there.addedBy.startsWith(BY)) continue;
        if (!sent.gone) await branch.want(tx, from, sent);
        else if (there) await packages.remove(sent.name, tx);
      }
    },
    async *snapshot(to) {
      if (to.role !== 'child') return;
      for (const one of await packages.list()) yield { kind: 'package', ...newsOf(one) };
    },
  };
}

/** fetchPackages brings the files of wanted packages here, each by its hash, and puts the packages in. What fails is tried again later. */
export async function fetchPackages(parts: FlowParts, fetch: FetchContent): Promise<void> {
  const all = await parts.branch.wanted();
  await parts.content.keepParts(all.flatMap((one) => one.package.files.map(({ sha256 }) => sha256)));
  for (const wanted of all) {
    try {
      await fetchPackage(parts, wanted, fetch);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (why !== wanted.error)
        parts.log.warn('a package of the parent is not here yet', { package: wanted.package.name, error });
      await parts.branch.notGot(wanted.package, why);
    }
  }
}

async function fetchPackage(
  { content, package: packages, branch, database }: FlowParts,
  wanted: WantedPackage,
  fetch: FetchContent,
) {
  const { origin, package: sent } = wanted;
  for (const { sha256, size } of sent.files) {
    if (await content.stat(sha256)) continue;
    await content.fetch({ sha256, size }, (from) => fetch(sha256, { site: origin, from, size }));
  }
  await database.transaction(async (tx: Sql) => {
    // A default that was chosen here stays; otherwise it is the parent's.
    const others = (await packages.list()).filter(({ isDefault, addedBy }) => isDefault && !addedBy.startsWith(BY));
    const definition = sent.definition as { platform?: unknown };
    const isDefault = sent.isDefault && !others.some(({ platform }) => platform === definition.platform);
    await packages.add({ ...definition, default: isDefault }, sent.files, `${BY}${origin}`, tx);
    await branch.got(tx, sent);
  });
}
