import type { SystemType } from './device.ts';
import { sameDomain } from './names.ts';
import type { KnownDevice } from './row.ts';
import type { Seen } from './seen.ts';
import { Told, type StoredTold } from './told.ts';

/** Stored is a resource as its table has it. */
export interface Stored {
  id: number;
  name: string;
  name_key: string;
  domain: string;
  domain_key: string;
  fqdn: string | null;
  guid: string | null;
  hardware_id: string | null;
  addresses: string[];
  macs: string[];
  os: string | null;
  os_version: string | null;
  os_build: number | null;
  architecture: string | null;
  type: SystemType;
  ad_site: string | null;
  ou: string | null;
  keys: string[];
  smb_port: number | null;
  ssh_port: number | null;
  assigned_site: string | null;
  trusted: boolean;
  obsolete: boolean;
  seen: Seen | null;
}

/** Known is a resource while a batch is merged into it; `id` is 0 until it is written for the first time. */
export interface Known extends Stored {
  told: Told;
  dirty: boolean;
  /** Its name or guid is another one, or it came or went: others may be in the way of it. */
  moved: boolean;
  touched: boolean;
}

/** Match is the resource that a DDR is about. `notGuid` and `notHardware` tell that the id it brings belongs to another machine: it is a clone. */
export interface Match {
  known: Known | undefined;
  by: 'resource' | 'guid' | 'hardware' | 'key' | 'name' | undefined;
  notGuid: boolean;
  notHardware: boolean;
}

function add(map: Map<string, Known[]>, key: string, known: Known): void {
  const same = map.get(key);
  if (!same) map.set(key, [known]);
  else if (!same.includes(known)) same.push(known);
}

/**
 * Pool is what the database knows of the machines of one batch, with the batch merged in one by one. Which machine a DDR is about is found
 * out here: by guid, by hardware id, by a property with the flag KEY, and then by name and domain. A MAC address never says so alone, because
 * docks and virtual machines share them; it only helps to tell a machine that was installed anew from a clone of it.
 */
export class Pool {
  readonly all: Known[] = [];
  readonly #byId = new Map<number, Known>();
  readonly #byGuid = new Map<string, Known>();
  readonly #byHardware = new Map<string, Known[]>();
  readonly #byKey = new Map<string, Known[]>();
  readonly #byName = new Map<string, Known[]>();

  add(stored: Stored & { told: StoredTold }): Known {
    const known: Known = { ...stored, told: new Told(stored.told), dirty: false, moved: false, touched: false };
    this.all.push(known);
    if (known.id !== 0) this.#byId.set(known.id, known);
    if (known.guid) this.#byGuid.set(known.guid, known);
    if (known.hardware_id) add(this.#byHardware, known.hardware_id, known);
    for (const key of known.keys) add(this.#byKey, key, known);
    add(this.#byName, known.name_key, known);
    return known;
  }

  byId(id: number): Known | undefined {
    return this.#byId.get(id);
  }

  /** living is the resource that has a name in a domain, if one has. */
  living(nameKey: string, domainKey: string): Known | undefined {
    return this.#byName.get(nameKey)?.find((k) => !k.obsolete && k.name_key === nameKey && k.domain_key === domainKey);
  }

  setName(known: Known, name: string, nameKey: string, domain: string, domainKey: string): void {
    known.name = name;
    known.name_key = nameKey;
    known.domain = domain;
    known.domain_key = domainKey;
    known.moved = true;
    add(this.#byName, nameKey, known);
  }

  setGuid(known: Known, guid: string | null): void {
    if (known.guid && this.#byGuid.get(known.guid) === known) this.#byGuid.delete(known.guid);
    known.guid = guid;
    known.moved = true;
    if (!guid) return;
    // The machine that had it was told apart from this one, or it would have been found: it is given up there.
    const other = this.#byGuid.get(guid);
    if (other) [other.guid, other.dirty, other.moved] = [null, true, true];
    this.#byGuid.set(guid, known);
  }

  setHardwareId(known: Known, id: string): void {
    known.hardware_id = id;
    add(this.#byHardware, id, known);
  }

  setKeys(known: Known, keys: string[]): void {
    known.keys = keys;
    for (const key of keys) add(this.#byKey, key, known);
  }

  /** match finds the resource of a DDR. */
  match(device: KnownDevice): Match {
    const match: Match = { known: undefined, by: undefined, notGuid: false, notHardware: false };
    const own = device.resourceId === undefined ? undefined : this.#byId.get(device.resourceId);
    if (own) return { ...match, known: own, by: 'resource' };
    const guided = device.guid === undefined ? undefined : this.#byGuid.get(device.guid);
    if (guided) {
      if (!isCloneByGuid(guided, device)) return { ...match, known: guided, by: 'guid' };
      match.notGuid = true;
    }
    const alike = this.#sameHardware(device);
    if (alike.known) return { ...match, known: alike.known, by: 'hardware' };
    match.notHardware = alike.clone;
    const keyed = this.#keyed(device);
    if (keyed) return { ...match, known: keyed, by: 'key' };
    const named = this.#named(device);
    return named ? { ...match, known: named, by: 'name' } : match;
  }

  #sameHardware(device: KnownDevice): { known?: Known; clone: boolean } {
    if (device.hardwareId === undefined) return { clone: false };
    const all = (this.#byHardware.get(device.hardwareId) ?? []).filter((k) => k.hardware_id === device.hardwareId);
    const living = all.filter((k) => !k.obsolete);
    const named = living.find((k) => isNamed(k, device));
    if (named) return { known: named, clone: false };
    const same = (living.length > 0 ? living : all).filter((k) => !isOtherCard(k, device));
    // Two that fit are clones of each other, and nothing tells which one this is.
    if (same.length === 1) return { known: same[0]!, clone: false };
    return { clone: all.length > 0 };
  }

  #keyed(device: KnownDevice): Known | undefined {
    const found = new Set(device.keys.flatMap((key) => (this.#byKey.get(key) ?? []).filter((k) => k.keys.includes(key))));
    const living = [...found].filter((k) => !k.obsolete && !(k.guid && device.guid && k.guid !== device.guid));
    return living.length === 1 ? living[0] : undefined;
  }

  #named(device: KnownDevice): Known | undefined {
    const same = (this.#byName.get(device.nameKey) ?? []).filter((k) => !k.obsolete && k.name_key === device.nameKey);
    const exact = same.find((k) => k.domain_key === device.domainKey);
    if (exact) return exact;
    const near = same.filter((k) => k.domain_key === '' || device.domainKey === '' || sameDomain(k.domain_key, device.domainKey));
    if (near.length < 2) return near[0];
    // One short name in several domains, told without a domain: the address decides, if it can.
    const there = near.filter((k) => k.addresses.some((address) => device.addresses.includes(address)));
    return there.length === 1 ? there[0] : undefined;
  }
}

function isNamed(known: Known, device: KnownDevice): boolean {
  if (known.name_key !== device.nameKey) return false;
  const [a, b] = [known.domain_key, device.domainKey];
  return a === b || a === '' || b === '' || sameDomain(a, b);
}

/** A disk that was copied with the client on it brings the guid to other hardware, which has another name sooner or later. */
function isCloneByGuid(known: Known, device: KnownDevice): boolean {
  const others = known.hardware_id !== null && device.hardwareId !== undefined && known.hardware_id !== device.hardwareId;
  return others && !isNamed(known, device);
}

/** A virtual machine that was copied keeps its hardware id and gets other network cards; one that was only renamed keeps at least one. */
function isOtherCard(known: Known, device: KnownDevice): boolean {
  return known.macs.length > 0 && device.macs.length > 0 && !known.macs.some((mac) => device.macs.includes(mac));
}
