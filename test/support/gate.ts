import type { Network } from '#components/ccm';
import type { SmbPipe, SmbSession, SmbTree } from '#wire/smb';

/** Moments of an attempt at which a test can step in: `before` or `after` what that step does to the machine. */
export const MOMENTS = [
  'before probe',
  'before logon',
  'after logon',
  'before admin-share',
  'before inspect',
  'after lock',
  'before copy',
  'after copy',
  'before start',
  'after create',
  'after start',
  'before release',
  'after release',
] as const;
export type Moment = (typeof MOMENTS)[number];

const CREATE_SERVICE = 12;
const START_SERVICE = 19;
/** Where a DCE/RPC request has its opnum, and the type of the PDU. */
const OPNUM_AT = 22;

/** delegating gives an object that does what another one does, private fields and all, except for some methods. */
function delegating<T extends object>(real: T, own: Partial<T>): T {
  return new Proxy(real, {
    get(target, key) {
      if (key in own) return own[key as keyof T];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}

/** gated is a network on which `at` is awaited at each moment; it may wait, throw, or never come back. */
export function gated(network: Network, at: (moment: Moment, machine: string) => Promise<void>): Network {
  return {
    ...network,
    async probe(options) {
      await at('before probe', options.address);
      return network.probe(options);
    },
    async connect(options) {
      await at('before logon', options.host);
      const session = await network.connect(options);
      await at('after logon', options.host);
      return gatedSession(session, (moment) => at(moment, options.host));
    },
  };
}

type At = (moment: Moment) => Promise<void>;

function gatedSession(session: SmbSession, at: At): SmbSession {
  return delegating(session, {
    async tree(share: string) {
      if (share === 'ADMIN$') await at('before admin-share');
      return gatedTree(await session.tree(share), at);
    },
  });
}

function gatedTree(tree: SmbTree, at: At): SmbTree {
  return delegating(tree, {
    async freeBytes() {
      await at('before inspect');
      return tree.freeBytes();
    },
    async createNew(path: string, data: Uint8Array) {
      const made = await tree.createNew(path, data);
      await at('after lock');
      return made;
    },
    async writeFile(path: string, data: Uint8Array) {
      const isBootstrap = path.endsWith('.exe');
      if (isBootstrap) await at('before copy');
      await tree.writeFile(path, data);
      if (isBootstrap) await at('after copy');
    },
    async remove(path: string) {
      await at('before release');
      const removed = await tree.remove(path);
      await at('after release');
      return removed;
    },
    async openPipe(name: string) {
      return gatedPipe(await tree.openPipe(name), at);
    },
  });
}

function gatedPipe(pipe: SmbPipe, at: At): SmbPipe {
  if (pipe.name !== 'svcctl') return pipe;
  return delegating(pipe, {
    async transact(request: Uint8Array, maxOut: number) {
      const opnum = request[2] === 0 ? request[OPNUM_AT] : undefined;
      if (opnum === CREATE_SERVICE) await at('before start');
      const answer = await pipe.transact(request, maxOut);
      if (opnum === CREATE_SERVICE) await at('after create');
      if (opnum === START_SERVICE) await at('after start');
      return answer;
    },
  });
}
