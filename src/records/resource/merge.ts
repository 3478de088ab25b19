import type { Known, Match, Pool } from './identity.ts';
import { sameDomain } from './names.ts';
import type { KnownDevice } from './row.ts';
import { seenNow } from './seen.ts';
import { RANK, type Property, type Rank, type Teller } from './told.ts';

/** Origin is where DDRs come from. */
export interface Origin {
  /** The method of discovery: 'import', 'ad', 'network', 'heartbeat', … */
  method: string;
  site: string;
  trusted: boolean;
  /** May it say anything of a machine that belongs to this site, or to none? Without it, of every machine. */
  speaksFor?: ((assignedSite: string | undefined) => boolean) | undefined;
}

/** These say of a machine what it says of itself: even an approved client must not take another machine's name. */
const OF_ITSELF: ReadonlySet<string> = new Set(['heartbeat']);
/** These see a machine from outside, one address at a time, and conclude its system from how it answers. */
const FROM_OUTSIDE: ReadonlySet<string> = new Set(['network']);
const CONCLUDED: ReadonlySet<Property> = new Set(['os', 'osVersion', 'type', 'architecture']);

/** A list of all addresses of a machine is taken for whole so long after it was told last; what is seen from outside adds to it. */
const WHOLE_MS = 7 * 86_400_000;

/** seesFromOutside tells whether a source sees one address of a machine at a time. */
export function seesFromOutside({ method }: Pick<Origin, 'method'>): boolean {
  return FROM_OUTSIDE.has(method);
}

/** Merged is what became of one DDR; `note` tells what of it was not taken, and why. */
export interface Merged {
  known: Known;
  note?: string | undefined;
}

const same = (a: readonly string[], b: readonly string[]) => a.length === b.length && a.every((one, i) => one === b[i]);

/** Merge brings DDRs of one source into the resources of a pool. */
export class Merge {
  readonly #pool: Pool;
  readonly #origin: Origin;

  constructor(pool: Pool, origin: Origin) {
    this.#pool = pool;
    this.#origin = origin;
  }

  /** take merges one DDR, or tells why it cannot be. */
  take(device: KnownDevice): Merged | { reason: string } {
    const { method, trusted, site } = this.#origin;
    const match = this.#pool.match(device);
    const { known } = match;
    if (!known) return this.#make(device, match);
    if (trusted && OF_ITSELF.has(method) && isOthers(known, match)) return { reason: notIts(device, match) };
    known.touched = true;
    // What a machine says of itself does not change what a trusted source knows.
    if (known.trusted && !trusted) return { known, note: 'a claim of a machine changes nothing that a trusted source knows' };
    if (known.trusted && !this.#speaksFor(known))
      return { known, note: `it belongs to site ${known.assigned_site}, of which ${site} tells nothing` };
    if (trusted && !known.trusted) this.#dropClaims(known);
    const note = this.#rename(known, device);
    this.#fill(known, device, match);
    return note === undefined ? { known } : { known, note };
  }

  #speaksFor({ assigned_site: site }: Known): boolean {
    return this.#origin.speaksFor?.(site ?? undefined) ?? true;
  }

  #make(device: KnownDevice, match: Match): Merged {
    const known = this.#pool.add({
      id: 0,
      name: device.name,
      name_key: device.nameKey,
      domain: device.domain,
      domain_key: device.domainKey,
      fqdn: null,
      guid: null,
      hardware_id: null,
      addresses: [],
      macs: [],
      os: null,
      os_version: null,
      os_build: null,
      architecture: null,
      type: 'unknown',
      ad_site: null,
      ou: null,
      keys: [],
      smb_port: null,
      ssh_port: null,
      assigned_site: null,
      trusted: false,
      obsolete: false,
      seen: null,
      told: [],
    });
    known.touched = true;
    known.told.set('name', this.#teller(device));
    this.#fill(known, device, match);
    if (match.notGuid) return { known, note: 'its GUID belongs to another machine: one is a clone of the other' };
    return match.notHardware
      ? { known, note: 'its hardware id belongs to another machine: one is a clone of the other' }
      : { known };
  }

  #teller(device: KnownDevice, rank: Rank = this.#origin.trusted ? RANK.known : RANK.claim): Teller {
    return { method: this.#origin.method, site: this.#origin.site, at: device.at.getTime(), rank };
  }

  /** What a machine claimed before a trusted source knew it must not become what the site believes. */
  #dropClaims(known: Known): void {
    for (const property of known.told.claims()) {
      if (property !== 'name') clear[property]?.(known, this.#pool);
      known.told.forget(property);
    }
    known.seen = null;
    known.dirty = true;
  }

  /** rename gives a resource the name of a DDR; whoever else had that name is obsolete until it is seen again. */
  #rename(known: Known, device: KnownDevice): string | undefined {
    const teller = this.#teller(device);
    // Of a domain's two names the DNS name says more, so it stays.
    const keeps = device.domainKey === '' || (sameDomain(known.domain_key, device.domainKey) && known.domain_key.includes('.'));
    const domainKey = keeps ? known.domain_key : device.domainKey;
    const renamed = known.name_key !== device.nameKey || domainKey !== known.domain_key;
    if (!renamed && !known.obsolete) {
      if (known.name !== device.name && known.told.yields('name', teller)) [known.name, known.dirty] = [device.name, true];
      if (!known.told.of('name')) known.told.set('name', teller);
      return undefined;
    }
    if (!known.told.yields('name', teller)) return `its name ${device.name} is older than the one that is known`;
    const holder = this.#pool.living(device.nameKey, domainKey);
    if (holder && holder !== known) {
      const claimed = !this.#origin.trusted || OF_ITSELF.has(this.#origin.method) || !this.#speaksFor(holder);
      if (holder.trusted && claimed) return notIts(device, { by: 'name' });
      [holder.obsolete, holder.dirty, holder.moved] = [true, true, true];
    }
    this.#pool.setName(known, device.name, device.nameKey, keeps ? known.domain : device.domain, domainKey);
    known.told.set('name', teller);
    [known.obsolete, known.dirty] = [false, true];
    return undefined;
  }

  #fill(known: Known, device: KnownDevice, match: Match): void {
    const { trusted, method } = this.#origin;
    const teller = this.#teller(device);
    const guess = FROM_OUTSIDE.has(method) && trusted ? this.#teller(device, RANK.guess) : teller;
    const put = <K extends keyof Known>(property: Property, column: K, value: Known[K] | undefined, who = teller) => {
      if (value === undefined || (known[column] === value && known.told.of(property))) return;
      if (!known.told.yields(property, who)) return;
      if (known[column] !== value) [known[column], known.dirty] = [value, true];
      known.told.set(property, who);
    };
    this.#fillIds(known, device, match, teller);
    this.#fillAddresses(known, device, teller);
    if (device.macs.length > 0 && !same(known.macs, device.macs)) put('macs', 'macs', device.macs);
    put('fqdn', 'fqdn', device.fqdn);
    const concluded = (property: Property) => (CONCLUDED.has(property) ? guess : teller);
    put('os', 'os', device.os, concluded('os'));
    put('osVersion', 'os_version', device.osVersion, concluded('osVersion'));
    put('osBuild', 'os_build', device.osBuild);
    put('architecture', 'architecture', device.architecture, concluded('architecture'));
    // A guess from the system's name knows no domain controllers, so it changes nothing that is known.
    if (device.type !== 'unknown' && (!device.guessed || known.type === 'unknown'))
      put('type', 'type', device.type, device.guessed && trusted ? this.#teller(device, RANK.guess) : concluded('type'));
    put('adSite', 'ad_site', device.adSite);
    put('ou', 'ou', device.ou);
    // Another port than the usual one comes from a trusted source only (design section 6), and never from the machine itself.
    if (!trusted) return;
    if (!OF_ITSELF.has(method)) {
      put('smbPort', 'smb_port', device.smbPort);
      put('sshPort', 'ssh_port', device.sshPort);
    }
    if (!known.trusted) [known.trusted, known.dirty] = [true, true];
  }

  #fillIds(known: Known, device: KnownDevice, { notGuid, notHardware }: Match, teller: Teller): void {
    const { guid, hardwareId, keys } = device;
    if (guid && !notGuid && guid !== known.guid && known.told.yields('guid', teller)) {
      this.#pool.setGuid(known, guid);
      known.told.set('guid', teller);
      known.dirty = true;
    }
    if (hardwareId && hardwareId !== known.hardware_id && known.told.yields('hardwareId', teller)) {
      // A clone is known by the same id, or nobody would see that there are two.
      this.#pool.setHardwareId(known, hardwareId);
      known.told.set('hardwareId', teller);
      known.dirty = true;
    }
    if (keys.length > 0 && !notHardware && !same(known.keys, keys) && known.told.yields('keys', teller)) {
      this.#pool.setKeys(known, keys);
      known.told.set('keys', teller);
      known.dirty = true;
    }
  }

  #fillAddresses(known: Known, { addresses: told }: KnownDevice, teller: Teller): void {
    if (told.length === 0 || !known.told.yields('addresses', teller)) return;
    let addresses = told;
    let tells = true;
    if (FROM_OUTSIDE.has(teller.method)) {
      const listed = wholeList(known, teller);
      // Who told all of them stays the one who did.
      tells = !listed;
      ({ seen: known.seen, addresses } = seenNow(known.seen, told, teller.at, listed));
      // When it was seen is written down; it is news for nobody.
      known.told.dirty = true;
    } else if (known.seen) {
      // The same list again says nothing about what was seen since; another list is newer than that. A client knows all that it has.
      if (!OF_ITSELF.has(teller.method) && same(known.seen.listed ?? [], told)) return;
      known.seen = null;
      known.told.dirty = true;
    }
    const isNews = !same(known.addresses, addresses);
    if (isNews) [known.addresses, known.dirty] = [addresses, true];
    if (tells && (isNews || !known.told.of('addresses'))) known.told.set('addresses', teller);
  }
}

/** wholeList gives the addresses that somebody told as all of them, not too long before. */
function wholeList(known: Known, { at }: Teller): readonly string[] | undefined {
  const told = known.told.of('addresses');
  if (!told || FROM_OUTSIDE.has(told.method) || at - told.at >= WHOLE_MS) return undefined;
  return known.seen?.listed ?? known.addresses;
}

/** A client that was found by its name or hardware alone, where a trusted source or another client has these, has proved nothing. */
function isOthers(known: Known, { by }: Match): boolean {
  return known.trusted && by !== 'resource' && by !== 'guid';
}

function notIts({ name }: KnownDevice, { by }: Pick<Match, 'by'>): string {
  const what = by === 'name' ? `name ${name}` : by === 'hardware' ? `hardware id that ${name} gives` : `key that ${name} gives`;
  return `the ${what} belongs to another machine, and a client cannot take it`;
}

const clear: Partial<Record<Property, (known: Known, pool: Pool) => void>> = {
  fqdn: (known) => (known.fqdn = null),
  guid: (known, pool) => pool.setGuid(known, null),
  hardwareId: (known) => (known.hardware_id = null),
  addresses: (known) => (known.addresses = []),
  macs: (known) => (known.macs = []),
  os: (known) => (known.os = null),
  osVersion: (known) => (known.os_version = null),
  osBuild: (known) => (known.os_build = null),
  architecture: (known) => (known.architecture = null),
  type: (known) => (known.type = 'unknown'),
  adSite: (known) => (known.ad_site = null),
  ou: (known) => (known.ou = null),
  keys: (known) => (known.keys = []),
};
