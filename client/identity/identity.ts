import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import * as Type from 'typebox';
import { layout, readJson, writeJson, type TargetHost } from '#client/host';
import { publicKeyOf, smsidOf } from '#messages';

/** Memory is what the agent has to remember of its site (C:\Windows\CCM\client.json); all of it belongs to one key. */
const Memory = Type.Object({
  publicKey: Type.String(),
  hardwareId: Type.String(),
  /** The SMSID; absent until the site gave one. */
  guid: Type.Optional(Type.String()),
  site: Type.Optional(Type.String()),
  approval: Type.Optional(Type.String()),
  registeredAt: Type.Optional(Type.String()),
  /** The registration that was sent and not answered yet; it goes out again under the same id. */
  requestId: Type.Optional(Type.String()),
  /** The token that went with it; with another token it is another registration. */
  requestToken: Type.Optional(Type.String()),
  heartbeatMinutes: Type.Optional(Type.Number()),
  /** What the assignment was asked for (a site code or AUTO), so that a new wish is told from an old one. */
  wanted: Type.Optional(Type.String()),
  assignedAt: Type.Optional(Type.String()),
  siteVersion: Type.Optional(Type.String()),
  /** Of the assigned site, the default one first. */
  managementPoints: Type.Optional(Type.Array(Type.String())),
  /** Of those, the ones that a policy named that was proven; any other may have come from somebody on the way. */
  provenPoints: Type.Optional(Type.Array(Type.String())),
  /** Of the secondary in whose boundaries the machine is. */
  proxyPoints: Type.Optional(Type.Array(Type.String())),
  /** Of another primary in whose boundaries the machine is: for content only. */
  localPoints: Type.Optional(Type.Array(Type.String())),
  fallbackStatusPoint: Type.Optional(Type.String()),
  /** The last state of the assignment that was told, so that a failure that lasts is told once. */
  toldState: Type.Optional(Type.Integer()),
  topicId: Type.Optional(Type.String()),
  policyRevision: Type.Optional(Type.String()),
  policyMinutes: Type.Optional(Type.Number()),
  logLevel: Type.Optional(Type.Integer()),
  cacheMegabytes: Type.Optional(Type.Integer()),
  /** What was last tried of what the policy asks, and how often. */
  tried: Type.Optional(Type.Object({ what: Type.String(), at: Type.String(), times: Type.Integer() })),
  sequence: Type.Integer({ minimum: 0 }),
});
export type Memory = Type.Static<typeof Memory>;

const SECTION = 'Configuration - Client Properties';

/**
 * Identity is who this client is: its key, its SMSID and what it agreed with the site. The SMSID also stands in SMSCFG.INI, as in the
 * original. Three things can have happened since the last run:
 * - the key is gone: a new key, registered under the old SMSID;
 * - SMSCFG.INI is gone: whoever prepares an image deletes it, so this is to become a new client: new key, no SMSID;
 * - SMSCFG.INI or the memory is of other hardware: a copied disk, so likewise.
 */
export class Identity {
  #privateKey: KeyObject;
  readonly #host: TargetHost;
  #memory: Memory;
  /** The SMSID this machine had before, for the registration. */
  readonly previousGuid: string | undefined;

  private constructor(host: TargetHost, privateKey: KeyObject, memory: Memory, previousGuid: string | undefined) {
    this.#host = host;
    this.#privateKey = privateKey;
    this.#memory = memory;
    this.previousGuid = previousGuid;
  }

  static async load(host: TargetHost): Promise<Identity> {
    const known = await readIdentityFile(host);
    const key = await readKey(host);
    const memory = await readJson(host, layout.memory, Memory);
    const cloned = [known.hardwareId, memory?.hardwareId].some((id) => id !== undefined && id !== host.hardwareId);
    const forgotten = memory?.guid !== undefined && known.guid === undefined;
    if (key && memory && !cloned && !forgotten && memory.publicKey === publicKeyOf(key))
      return new Identity(host, key, memory, known.guid);
    const keep = key !== undefined && !cloned && !forgotten;
    const privateKey = keep ? key : await makeKey(host);
    const fresh: Memory = { publicKey: publicKeyOf(privateKey), hardwareId: host.hardwareId, sequence: 0 };
    await writeJson(host, layout.memory, fresh);
    return new Identity(host, privateKey, fresh, cloned ? undefined : known.guid);
  }

  /** peek is the identity as it stands, for whoever looks while the agent may be writing: it makes and mends nothing. */
  static async peek(host: TargetHost): Promise<Pick<Identity, 'memory' | 'privateKey'> | undefined> {
    const key = await readKey(host);
    const memory = await readJson(host, layout.memory, Memory);
    return key && memory?.publicKey === publicKeyOf(key) ? { memory, privateKey: key } : undefined;
  }

  get privateKey(): KeyObject {
    return this.#privateKey;
  }

  get publicKey(): string {
    return this.#memory.publicKey;
  }

  /** renew takes a new key, because the site says that another machine has this one too. What was agreed with the site under the old one is over. */
  async renew(): Promise<void> {
    const { site, managementPoints, proxyPoints } = this.#memory;
    this.#privateKey = await makeKey(this.#host);
    const fresh: Memory = { publicKey: publicKeyOf(this.#privateKey), hardwareId: this.#host.hardwareId, sequence: 0 };
    this.#memory = fresh;
    await this.remember({ site, managementPoints, proxyPoints });
  }

  get memory(): Readonly<Memory> {
    return this.#memory;
  }

  /** remember keeps changes on the disk before anybody acts on them. */
  async remember(change: { [K in keyof Memory]?: Memory[K] | undefined }): Promise<void> {
    const next = { ...this.#memory, ...change };
    this.#memory = Object.fromEntries(Object.entries(next).filter(([, value]) => value !== undefined)) as Memory;
    await writeJson(this.#host, layout.memory, this.#memory);
  }

  /** note keeps what can be learned again; a disk without room does not silence a client. */
  async note(change: { [K in keyof Memory]?: Memory[K] | undefined }): Promise<void> {
    await this.remember(change).catch(() => {});
  }

  /** become takes the SMSID that the site gave. */
  async become(guid: string, site: string): Promise<void> {
    const ini = [
      `[${SECTION}]`,
      `SMS Unique Identifier=${guid}`,
      `SMS Hardware Identifier=${this.#host.hardwareId}`,
      `Assigned Site Code=${site}`,
      '',
    ];
    await this.#host.writeFile(layout.identity, new TextEncoder().encode(ini.join('\r\n')));
    await this.remember({ guid, site });
  }
}

async function readKey(host: TargetHost): Promise<KeyObject | undefined> {
  try {
    const bytes = await host.readFile(layout.key);
    if (!bytes) return undefined;
    const key = createPrivateKey({ key: Buffer.from(bytes), format: 'der', type: 'pkcs8' });
    return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? key : undefined;
  } catch {
    return undefined;
  }
}

async function makeKey(host: TargetHost): Promise<KeyObject> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await host.writeFile(layout.key, new Uint8Array(privateKey.export({ format: 'der', type: 'pkcs8' })), { secret: true });
  return privateKey;
}

async function readIdentityFile(host: TargetHost): Promise<{ guid: string | undefined; hardwareId: string | undefined }> {
  const bytes = await host.readFile(layout.identity).catch(() => undefined);
  const ini = bytes && bytes.length <= 65_536 ? new TextDecoder().decode(bytes) : '';
  const value = (key: string) =>
    new RegExp(`^[ \\t]*${key}[ \\t]*=[ \\t]*([^\\r\\n]*)$`, 'im').exec(ini)?.[1]?.trim() || undefined;
  return { guid: smsidOf(value('SMS Unique Identifier') ?? ''), hardwareId: value('SMS Hardware Identifier') };
}
