import { isCode, PushpointError } from '#base/errors';
import { readMobileClient } from '#messages';
import { ATTRIBUTE, type SmbSession } from '#wire/smb';

import { absent } from './absent.ts';
import type { AttemptContext } from './context.ts';
import type { ClientFacts, Facts, OsFacts, SetupFacts } from './facts.ts';
import { osVersion } from './facts.ts';
import { clientInRegistry, clientNote, productNameIn, type ClientNote } from './inspect-client.ts';
import type { Listed, ServerFacts, Target } from './target.ts';
import type { Note } from './timeline.ts';

/** SV_TYPE bits ([MS-SRVS] 2.2.2.7) that tell kinds of machines apart. */
const TYPE = { domainController: 0x8, backupController: 0x10, unix: 0x800, serverNt: 0x8000 } as const;

/** isUnix tells by the type bits of a server that it is a Samba. */
export function isUnix(type: number): boolean {
  return (type & TYPE.unix) !== 0;
}

/** Folder of the bootstrap below ADMIN$ (facts B2: %windir%\ccmsetup). */
export const SETUP_FOLDER = 'ccmsetup';

/** soft turns a failed look into "not known", with one sentence of why; a machine that has gone is not a failed look. */
async function soft<T>(note: Note, what: string, look: Promise<T>): Promise<T | undefined> {
  try {
    return await look;
  } catch (error) {
    if (!(error instanceof PushpointError) || error.origin === 'unreachable' || error.origin === 'timeout') throw error;
    note(`${what} is not known: ${error.message}`);
    return undefined;
  }
}

function systemType(server: ServerFacts | undefined): OsFacts['type'] {
  if (!server) return 'unknown';
  if (server.type & (TYPE.domainController | TYPE.backupController)) return 'dc';
  return server.type & TYPE.serverNt ? 'server' : 'workstation';
}

function osFacts(
  session: SmbSession,
  server: ServerFacts | undefined,
  productName: string | undefined,
  folders: Set<string>,
): OsFacts {
  const challenge = session.peer.osVersion;
  // A Samba server says of itself that it is a Unix; a Windows behind one still has its system folder.
  const windows = server === undefined || !isUnix(server.type) || folders.has('system32');
  const architecture = folders.has('syswow64')
    ? folders.has('sysarm32')
      ? 'arm64'
      : 'x64'
    : folders.has('system32')
      ? 'x86'
      : undefined;
  return {
    windows,
    name: productName ?? (windows ? undefined : server?.comment || 'another system'),
    major: server?.major ?? challenge?.major,
    minor: server?.minor ?? challenge?.minor,
    build: challenge?.build || undefined,
    type: systemType(server),
    architecture,
  };
}

/** ccrOf tells for which CCR the mobileclient.tcf on the machine was written: its token says so, and the token is ours. */
async function ccrOf(tcf: Uint8Array | undefined, context: AttemptContext): Promise<number | undefined> {
  if (tcf === undefined) return undefined;
  try {
    const tokenId = readMobileClient(tcf).registration?.tokenId;
    return tokenId === undefined ? undefined : await context.tokenCcr(tokenId);
  } catch (error) {
    // What another product or a broken disk left there is not ours.
    if (error instanceof PushpointError && error.origin === 'malformed') return undefined;
    throw error;
  }
}

async function setupFacts(target: Target, context: AttemptContext): Promise<SetupFacts> {
  const { admin } = target;
  const [top, list, tcf, state] = await Promise.all([
    // A failure to list is told by the look at the system folder itself.
    target.top().catch((): Listed[] => []),
    absent(admin.list(SETUP_FOLDER)),
    absent(admin.readFile(`${SETUP_FOLDER}\\mobileclient.tcf`, { maxBytes: 256 * 1024 })),
    serviceState(target, context.push.setupService),
  ]);
  const folder = top.filter((f) => f.isDirectory && f.name.toLowerCase() === SETUP_FOLDER);
  return {
    service: state,
    encrypted: [...folder, ...(list ?? [])].some((f) => (f.attributes & ATTRIBUTE.ENCRYPTED) !== 0),
    files: new Map((list ?? []).filter((f) => !f.isDirectory).map((f) => [f.name.toLowerCase(), f.size])),
    ccrId: await ccrOf(tcf, context),
  };
}

/** serviceState is the state of a service, or undefined when there is no such service. */
export async function serviceState(target: Target, name: string): Promise<string | undefined> {
  const manager = await target.services();
  const service = await manager.open(name);
  if (!service) return undefined;
  try {
    return (await service.status()).state;
  } catch (error) {
    // It went while it was looked at.
    if (isCode(error, 'PP_SERVICE_UNKNOWN', 'PP_SERVICE_MARKED_FOR_DELETE')) return undefined;
    throw error;
  } finally {
    await service.close();
  }
}

function clientFacts(state: string | undefined, note: ClientNote | undefined, ccrId: ClientFacts['ccrId']): ClientFacts {
  return { installed: state !== undefined, running: state === 'running', version: note?.version, site: note?.site, ccrId };
}

/** pushedBy tells which CCR brought the client, as its own note has it. */
async function pushedBy(note: ClientNote | undefined, context: AttemptContext): Promise<ClientFacts['ccrId']> {
  if (note === undefined) return undefined;
  return (note.tokenId === undefined ? undefined : await context.tokenCcr(note.tokenId)) ?? 'none';
}

function told(facts: Facts): string {
  const { os, client, freeBytes } = facts;
  const name = os.name ?? (os.windows ? 'Windows' : 'no Windows');
  const parts = [
    `${name}${osVersion(os) ? ` ${osVersion(os)}` : ''}${os.architecture ? ` ${os.architecture}` : ''}, ${os.type}`,
    freeBytes === undefined ? undefined : `${freeBytes / 1_048_576n} MB free`,
    client.installed
      ? `client ${client.version ?? 'of unknown version'}${client.running ? ' running' : ' not running'}`
      : 'no client',
  ];
  return parts.filter((part) => part !== undefined).join('; ');
}

/**
 * inspect learns what the decision needs: the Server service and files first, the registry only where its pipe is there; what a
 * machine does not tell stays unknown. All looks are under way at once, over the one connection.
 */
export async function inspect(target: Target, context: AttemptContext, note: Note): Promise<Facts> {
  const { admin } = target;
  const registry = soft(note, 'the registry', target.registry());
  const [server, productName, client, installed, setup, freeBytes, top] = await Promise.all([
    soft(note, 'the kind of system', target.server()),
    registry.then((r) => r && soft(note, 'the name of the system', productNameIn(r))),
    serviceState(target, context.push.verifyService),
    soft(note, 'the version of the client', clientNote(admin)),
    setupFacts(target, context),
    soft(note, 'free space', admin.freeBytes()),
    soft(note, 'the system folder', target.top()),
  ]);
  const open = await registry;
  if (open === undefined) note('the remote registry is not running, so the name of the system is unknown');
  const version = installed ?? (client && open && (await soft(note, 'the version of the client', clientInRegistry(open))));
  const folders = new Set((top ?? []).filter((f) => f.isDirectory).map((f) => f.name.toLowerCase()));
  const facts: Facts = {
    os: osFacts(target.session, server, productName, folders),
    freeBytes,
    client: clientFacts(client, version || undefined, await pushedBy(installed, context)),
    setup,
    windowsPath: server?.windowsPath,
  };
  note(told(facts));
  return facts;
}
