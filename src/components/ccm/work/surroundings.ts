import { raise } from '#base/errors';
import { writeMobileClient, type MobileClient } from '#messages';
import type { Ccr } from '#records/ccr';
import type { Package, PackageFile } from '#records/package';
import { clientSiteOf, pointsFor, secondaryOf, type Branch, type Site } from '#records/site';
import type { Push } from '../attempt/context.ts';
import type { CcmParts } from './parts.ts';

/** What was read is believed for so long; a NOTIFY ends that at once. */
const BELIEVED_MS = 30_000;
const HOUR_MS = 3_600_000;

interface Read<T> {
  at: number;
  value: Promise<T>;
}

/** Here is the own site, the site its clients belong to, and what is known of the points of the sites around it. */
export interface Here {
  site: Site;
  /** clientSite is always a primary: the parent where this site is a secondary (design, sites). */
  clientSite: string;
  branch: Branch;
  /** Whether there is any management point that a client pushed from here could use. */
  hasPoint: boolean;
}

/** Surroundings is what an attempt needs to know of the site: settings, points, packages; read rarely, forgotten when somebody changes them. */
export class Surroundings {
  readonly #parts: Pick<CcmParts, 'site' | 'package' | 'content' | 'client' | 'clock'>;
  #here: Read<Here> | undefined;
  readonly #packages = new Map<string, Read<Package | undefined>>();
  readonly #bytes = new Map<string, Promise<Uint8Array>>();

  constructor(parts: Pick<CcmParts, 'site' | 'package' | 'content' | 'client' | 'clock'>) {
    this.#parts = parts;
  }

  /** forget makes the next look read everything anew; the bytes of a file never change under their hash. */
  forget(): void {
    this.#here = undefined;
    this.#packages.clear();
  }

  #fresh<T>(read: Read<T> | undefined): Promise<T> | undefined {
    return read && this.#parts.clock.monotonic() - read.at < BELIEVED_MS ? read.value : undefined;
  }

  /** here gives the site and its management points. */
  here(): Promise<Here> {
    const known = this.#fresh(this.#here);
    if (known) return known;
    const value = this.#readHere();
    this.#here = { at: this.#parts.clock.monotonic(), value };
    value.catch(() => (this.#here = undefined));
    return value;
  }

  async #readHere(): Promise<Here> {
    const branch = await this.#parts.site.branch();
    const hasPoint = [undefined, ...branch.sites.map(({ code }) => code)].some(
      (code) => pointsFor('mp', branch, code).length > 0,
    );
    return { site: branch.here, clientSite: clientSiteOf(branch.here), branch, hasPoint };
  }

  /** packageFor gives the package that a CCR asks for, else the site's, else the default one; PP_PUSH_NO_PACKAGE where there is none. */
  async packageFor(ccr: Pick<Ccr, 'package'>): Promise<Package> {
    const name = ccr.package ?? (await this.here()).site.settings.push.package ?? '';
    let known = this.#fresh(this.#packages.get(name));
    if (!known) {
      known = name === '' ? this.#parts.package.defaultFor('windows') : this.#parts.package.get(name);
      this.#packages.set(name, { at: this.#parts.clock.monotonic(), value: known });
      known.catch(() => this.#packages.delete(name));
    }
    const found = await known;
    if (!found) throw raise('PP_PUSH_NO_PACKAGE', { package: name || 'for Windows' });
    // Over SMB there are Windows machines only; a program for another system would be started there and fail for a reason nobody sees.
    if (found.platform !== 'windows') throw raise('PP_PUSH_PACKAGE_PLATFORM', { package: found.name, platform: found.platform });
    return found;
  }

  /** pushFor gives what is laid on the machine of a CCR. */
  async pushFor(ccr: Pick<Ccr, 'package'>): Promise<Push> {
    const chosen = await this.packageFor(ccr);
    const { definition } = chosen;
    const file = fileOf(chosen, definition.bootstrap.file);
    return {
      name: chosen.name,
      version: chosen.version,
      bootstrap: { file: file.name, bytes: await this.#read(file.sha256), sha256: file.sha256 },
      arguments: definition.bootstrap.arguments,
      setupService: definition.bootstrap.service,
      verifyService: definition.verify.service,
      minimumBuild: definition.requires?.minimumBuild,
      architectures: definition.requires?.architectures,
      freeBytes: definition.requires?.freeBytes ?? roomFor(chosen),
    };
  }

  #read(sha256: string): Promise<Uint8Array> {
    let bytes = this.#bytes.get(sha256);
    if (!bytes) {
      bytes = this.#parts.content.read(sha256);
      this.#bytes.set(sha256, bytes);
      bytes.catch(() => this.#bytes.delete(sha256));
    }
    return bytes;
  }

  /**
   * settingsFile is the content of mobileclient.tcf for a package, without any token; PP_PUSH_NO_MANAGEMENT_POINT where no client could use it.
   * A machine in the boundaries of a secondary site is told of the proxy management point first, and gets its files from there (D1).
   */
  async settingsFile(chosen: Package, assigned?: string): Promise<MobileClient> {
    const { site, clientSite, branch } = await this.here();
    const all = pointsFor('mp', branch, assigned);
    const best = all[0];
    if (!best) throw raise('PP_PUSH_NO_MANAGEMENT_POINT', { site: site.code });
    // A client that is told of certificates takes no others: points whose certificate nobody named would only be asked in vain.
    const points = best.pin === undefined ? all : all.filter((p) => p.pin !== undefined);
    const pins = best.pin === undefined ? undefined : [...new Set(points.map((p) => p.pin!))];
    const { definition } = chosen;
    // A package whose bootstrap is all there is names it as the payload too, so that the file is whole for every reader.
    const file = fileOf(chosen, definition.payload?.file ?? definition.bootstrap.file);
    const first = new URL(best.address);
    const isTls = first.protocol === 'https:';
    const own = [
      `SMSSITECODE=${clientSite}`,
      `SMSMP=${isTls ? 'https://' : ''}${first.hostname}`,
      `CCMHTTP${isTls ? 'S' : ''}PORT=${portOf(first)}`,
    ];
    // Who reads the file takes one of two values of a property; what the administrator says is the one that counts.
    const wished = site.settings.push.properties;
    const isWished = (property: string) => new RegExp(`(?:^|\\s)${property.split('=')[0]}=`, 'i').test(wished);
    return {
      properties: [...own.filter((property) => !isWished(property)), wished].join(' ').trim(),
      site: clientSite,
      managementPoints: points.map((p) => p.address),
      fallbackStatusPoint: pointsFor('fsp', branch, assigned)[0]?.address,
      payload: {
        file: file.name,
        sha256: file.sha256,
        size: file.size,
        version: chosen.version,
        command: definition.payload?.command,
      },
      ...firstOf(chosen),
      certificatePins: pins,
    };
  }

  /** mobileClientFor makes the copy of mobileclient.tcf for one push, with a token that this machine can use once. */
  async mobileClientFor(ccr: Ccr, assigned?: string): Promise<Uint8Array> {
    const settings = await this.settingsFile(await this.packageFor(ccr), assigned);
    const { site, branch } = await this.here();
    const expires = new Date(this.#parts.clock.now().getTime() + site.settings.ccr.tokenHours * HOUR_MS);
    const { resourceId, name, domain, id } = ccr;
    // The client may use it at the other site of its branch, which has not seen it.
    const peer = site.kind === 'secondary' ? site.parent : secondaryOf(branch, assigned);
    const token = await this.#parts.client.issueToken({ resourceId, name, domain, ccrId: id, expiresAt: expires, peer });
    return writeMobileClient({
      ...settings,
      registration: { machine: name, tokenId: token.id, token: token.secret, expires: expires.toISOString() },
    });
  }
}

/** firstOf is what a package wants of a machine, and to be installed on it, before its payload is brought. */
function firstOf(chosen: Package): Pick<MobileClient, 'requires' | 'prerequisites'> {
  const { requires, prerequisites } = chosen.definition;
  const wanted =
    requires && Object.fromEntries(Object.entries(requires).filter(([, value]) => !Array.isArray(value) || value.length > 0));
  const files = prerequisites?.map(({ file, command, check }) => {
    const { name, sha256, size } = fileOf(chosen, file);
    return { file: name, sha256, size, command, ...(check && { check }) };
  });
  return { ...(wanted && { requires: wanted }), ...(files?.length && { prerequisites: files }) };
}

/** roomFor is what an installation takes on the disk: the files as they are fetched and once more in their place, and some air. */
function roomFor(chosen: Package): number {
  return chosen.files.reduce((sum, file) => sum + 2 * file.size, 16 * 1_048_576);
}

function portOf(url: URL): string {
  return url.port || (url.protocol === 'https:' ? '443' : '80');
}

function fileOf(chosen: Package, name: string): PackageFile {
  const file = chosen.files.find((f) => f.name === name);
  if (!file) throw raise('PP_PUSH_NO_PACKAGE', { package: `${chosen.name}: its file ${name} is missing` });
  return file;
}
