import { nameKey, whyNotName, type RawDevice } from '#records/resource';
import type { Sighting } from './look.ts';
import type { CheckedNames } from './names.ts';
import { systemOf } from './system.ts';

/** Found is a machine with a name, as it is handed in, and how sure that name is. */
export interface Found {
  row: RawDevice & { name: string; addresses: string[] };
  by: 'smb' | 'dns';
  /** Those of its addresses that DNS gives for its full name. */
  confirmed: string[];
}

/** Told is what was made of a sighting. */
export interface Told {
  found?: Found | undefined;
  /** Whether this run finds it for the first time. */
  isNew: boolean;
  /** What a person should know of it. */
  notes: string[];
}

interface Kept extends Found {
  serverGuid: string | undefined;
}

const usable = (name: string | undefined): name is string => name !== undefined && whyNotName(name) === undefined;

/**
 * Machines puts the sightings of a run together: one machine with several addresses becomes one, and two that call themselves the same do
 * not. A name from reverse DNS alone never stands against one that the machine tells itself.
 */
export class Machines {
  readonly #names: CheckedNames;
  readonly #kept = new Map<string, Kept>();

  constructor(names: CheckedNames) {
    this.#names = names;
  }

  /** tell makes a machine of a sighting, where that has a name. */
  async tell(sighting: Sighting): Promise<Told> {
    const notes: string[] = [];
    if (sighting.smb1Only) notes.push('it speaks SMB1 only, so nothing can be pushed to it');
    const made = (await this.#bySmb(sighting, notes)) ?? (await this.#byDns(sighting));
    if (!made) return { isNew: false, notes };
    const found = this.#keep(made, notes);
    return { found, isNew: found === made && made.row.addresses.length === 1, notes };
  }

  async #bySmb(sighting: Sighting, notes: string[]): Promise<Kept | undefined> {
    const { address, smb } = sighting;
    const peer = smb?.peer;
    if (!peer) return undefined;
    const full = peer.dnsComputer?.includes('.') && usable(peer.dnsComputer) ? peer.dnsComputer.toLowerCase() : undefined;
    const name = usable(peer.netbiosComputer) ? peer.netbiosComputer : full?.split('.', 1)[0];
    if (name === undefined) {
      notes.push('the name that it tells is none');
      return undefined;
    }
    // A machine of no domain says its own name for that of the domain.
    const hasDomain = peer.netbiosDomain !== undefined && nameKey(peer.netbiosDomain) !== nameKey(name);
    const told = [peer.dnsDomain, peer.netbiosDomain].find((one) => one !== undefined && usable(`x.${one}`));
    const fqdn = full ?? (await this.#fullName(name, address));
    const confirmed = fqdn === undefined ? 'unknown' : await this.#names.confirm(fqdn, address);
    if (confirmed === 'contradicted') notes.push(`it calls itself ${fqdn}, but DNS does not give this address for that name`);
    return {
      row: { name, domain: hasDomain ? told : undefined, fqdn, addresses: [address], type: 'unknown', ...systemOf(sighting) },
      by: 'smb',
      confirmed: confirmed === 'yes' ? [address] : [],
      serverGuid: smb?.serverGuid,
    };
  }

  /** Samba and machines of no domain tell a short name only; DNS may know the whole. */
  async #fullName(name: string, address: string): Promise<string | undefined> {
    return (await this.#names.of(address)).find((full) => nameKey(full.split('.', 1)[0]!) === nameKey(name));
  }

  async #byDns(sighting: Sighting): Promise<Kept | undefined> {
    const { address, ports } = sighting;
    // Something that refuses everything may be a firewall that answers for a whole network.
    if (!Object.values(ports).includes('open')) return undefined;
    const [fqdn] = await this.#names.of(address);
    if (fqdn === undefined) return undefined;
    const [name, ...domain] = fqdn.split('.');
    if (!usable(name)) return undefined;
    return {
      row: { name, domain: domain.join('.'), fqdn, addresses: [address], type: 'unknown', ...systemOf(sighting) },
      by: 'dns',
      confirmed: [],
      serverGuid: undefined,
    };
  }

  #keep(made: Kept, notes: string[]): Found | undefined {
    const { row } = made;
    const key = `${nameKey(row.name)} ${nameKey(row.domain ?? '')}`;
    const [address] = row.addresses as [string];
    const known = this.#kept.get(key);
    if (!known) {
      this.#kept.set(key, made);
      return made;
    }
    if (known.serverGuid !== undefined && made.serverGuid !== undefined && known.serverGuid !== made.serverGuid) {
      notes.push(`another machine at ${known.row.addresses[0]} has the same name, ${row.name}; this one is left out`);
      return undefined;
    }
    if (known.by === 'dns' && made.by === 'smb') {
      made.row.addresses.unshift(...known.row.addresses);
      this.#kept.set(key, made);
      return made;
    }
    if (!known.row.addresses.includes(address)) known.row.addresses.push(address);
    for (const one of made.confirmed) if (!known.confirmed.includes(one)) known.confirmed.push(one);
    return known;
  }
}
