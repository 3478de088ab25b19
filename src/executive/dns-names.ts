import { Resolver } from 'node:dns/promises';
import type { Names } from '#components/discovery';

const ANSWER_MS = 1500;
const TRIES = 2;
/** Nobody has such a name or address; everything else says that DNS itself is not there. */
const NONE = new Set(['ENOTFOUND', 'ENODATA', 'ESERVFAIL', 'EREFUSED', 'EBADNAME', 'ENONAME', 'EFORMERR']);

async function orNone(answer: Promise<string[]>): Promise<string[]> {
  try {
    return await answer;
  } catch (error) {
    if (NONE.has((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

/**
 * dnsNames asks the name servers of this machine. It does not use the system's own look-up: that one has four threads, which thousands of
 * addresses would take from everything else.
 */
export function dnsNames(): Names {
  const resolver = new Resolver({ timeout: ANSWER_MS, tries: TRIES });
  return {
    reverse: (address) => orNone(resolver.reverse(address)),
    async forward(name) {
      const [v4, v6] = await Promise.all([orNone(resolver.resolve4(name)), orNone(resolver.resolve6(name))]);
      return [...v4, ...v6];
    },
  };
}
