import { raise, type PushpointError } from '#base/errors';

import { osVersion, type Facts, type OsFacts } from './facts.ts';

/** Wish is what the CCR asks and what is pushed, as far as the decision needs it. */
export interface Wish {
  machine: string;
  ccrId: number;
  site: string;
  forced: boolean;
  reinstall: boolean;
  includeDcs: boolean;
  inspectOnly: boolean;
  /** The client is to be removed. */
  uninstall?: boolean;
  /** The proof that this CCR is fulfilled already, where there is one. */
  proven?: string | undefined;
  package: {
    name: string;
    version: string;
    minimumBuild: number | undefined;
    architectures: string[] | undefined;
    freeBytes: number | undefined;
  };
}

/** Decision is what becomes of the attempt after the inspection. */
export type Decision =
  | { do: 'install'; why: string }
  | { do: 'await'; why: string }
  | { do: 'complete'; why: string }
  | { do: 'report'; why: string }
  | { do: 'refuse'; error: PushpointError };

/** The oldest Windows that is pushed to: 7 and Server 2008 R2; 2000 and XP do not even speak a SMB that is safe. */
const OLDEST = { major: 6, minor: 1 };

function tooOld(os: OsFacts): boolean {
  if (os.major === undefined) return false;
  return os.major < OLDEST.major || (os.major === OLDEST.major && (os.minor ?? OLDEST.minor) < OLDEST.minor);
}

/** compareVersions orders dotted version numbers; parts that are missing count as 0. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => text.split(/[.,+-]/).map((part) => Number.parseInt(part, 10) || 0)) as [
    number[],
    number[],
  ];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  return 0;
}

/** Forced means "although a client is there, and whatever the OS check says" (facts A5), but it never means a domain controller. */
function osRefusal({ os }: Facts, wish: Wish): PushpointError | undefined {
  const machine = wish.machine;
  if (os.type === 'dc' && !wish.includeDcs) return raise('PP_PUSH_DOMAIN_CONTROLLER', { machine });
  if (wish.forced) return undefined;
  if (!os.windows) return raise('PP_PUSH_NOT_WINDOWS', { machine, os: os.name ?? 'another system' });
  if (tooOld(os)) return raise('PP_PUSH_OS_UNSUPPORTED', { machine, os: os.name ?? `Windows ${osVersion(os)}` });
  const { minimumBuild, architectures, name } = wish.package;
  if (minimumBuild !== undefined && os.build !== undefined && os.build < minimumBuild)
    return raise('PP_PUSH_OS_UNSUPPORTED', {
      machine,
      os: `${os.name ?? 'Windows'} build ${os.build}, ${name} needs ${minimumBuild},`,
    });
  if (architectures && os.architecture && !architectures.includes(os.architecture))
    return raise('PP_PUSH_OS_UNSUPPORTED', { machine, os: `${os.name ?? 'Windows'} for ${os.architecture}` });
  return undefined;
}

/**
 * ours: the mobileclient.tcf there was laid by an earlier attempt of this CCR. It tells little: nothing may have been started since, and
 * when all is done the bootstrap takes the token out of it. So the client's own note of who installed it goes before; others leave none.
 */
function clientDecision({ client }: Facts, wish: Wish, ours: boolean): Decision | undefined {
  if (!client.installed || wish.forced || wish.reinstall) return undefined;
  const { machine } = wish;
  const byUs = client.ccrId === undefined ? ours : client.ccrId === wish.ccrId;
  if (byUs) return client.running ? { do: 'complete', why: 'the client that this CCR installed is running' } : undefined;
  if (client.site !== undefined && client.site !== wish.site)
    return { do: 'refuse', error: raise('PP_PUSH_CLIENT_OF_OTHER_SITE', { machine, site: client.site }) };
  if (client.version !== undefined && compareVersions(client.version, wish.package.version) < 0)
    return { do: 'install', why: `the client there is ${client.version}, older than ${wish.package.version}` };
  const version = client.version ?? 'of unknown version';
  return { do: 'refuse', error: raise('PP_PUSH_CLIENT_PRESENT', { machine, version }) };
}

/** A client can be removed from any system that has one; a domain controller is as much left alone as ever. */
function removal({ os, client, setup }: Facts, wish: Wish): Decision {
  if (os.type === 'dc' && !wish.includeDcs)
    return { do: 'refuse', error: raise('PP_PUSH_DOMAIN_CONTROLLER', { machine: wish.machine }) };
  const isThere = client.installed || setup.files.size > 0 || setup.service !== undefined;
  return isThere ? { do: 'install', why: 'the client there is to be removed' } : { do: 'complete', why: 'no client is there' };
}

/** decide says what becomes of an attempt; it looks at nothing but what it is given. */
export function decide(facts: Facts, wish: Wish): Decision {
  if (wish.proven !== undefined) return { do: 'complete', why: wish.proven };
  if (wish.uninstall) return removal(facts, wish);
  const refusal = osRefusal(facts, wish);
  if (refusal) return { do: 'refuse', error: refusal };
  const ours = facts.setup.ccrId === wish.ccrId;
  const byClient = clientDecision(facts, wish, ours);
  if (byClient?.do === 'refuse') return byClient;
  if (wish.inspectOnly)
    return { do: 'report', why: `would ${byClient?.do === 'install' ? `upgrade: ${byClient.why}` : 'install'}` };
  if (byClient?.do === 'complete') return byClient;
  if (ours && facts.setup.service === 'running')
    return { do: 'await', why: 'the bootstrap that this CCR started is still at work' };
  const needed = wish.package.freeBytes ?? 0;
  if (facts.freeBytes !== undefined && facts.freeBytes < BigInt(needed))
    return {
      do: 'refuse',
      error: raise('PP_TARGET_DISK_SPACE', {
        machine: wish.machine,
        free: `${facts.freeBytes / 1_048_576n} MB`,
        needed: `${Math.ceil(needed / 1_048_576)} MB`,
      }),
    };
  if (facts.setup.encrypted) return { do: 'refuse', error: raise('PP_TARGET_ENCRYPTED', { machine: wish.machine }) };
  if (byClient) return byClient;
  if (!facts.client.installed) return { do: 'install', why: 'no client is there' };
  return {
    do: 'install',
    why: wish.reinstall ? 'reinstall was asked for' : wish.forced ? 'forced' : 'the client there does not run',
  };
}
