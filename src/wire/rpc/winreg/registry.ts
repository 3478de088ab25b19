import { raise } from '#base/errors';
import { WIN32 } from '#wire/status';
import type { RpcClient } from '../client.ts';
import { refusal } from '../outcomes.ts';
import {
  closeKey,
  enumKey,
  enumValue,
  openClassesRoot,
  openKey,
  openLocalMachine,
  openUsers,
  queryValue,
} from './definitions.ts';
import { numberOf, textOf, type RegistryValue } from './value.ts';

/** KEY_READ: query values, enumerate subkeys, be notified, read control ([MS-RRP] 2.2.3). */
const KEY_READ = 0x00020019;
/** Names of keys have at most 255 characters, of values 16383 ([MS-RRP] 3.1.1); room is asked for in characters. */
const KEY_NAME_ROOM = 256;
const VALUE_NAME_ROOM = 16384;
/** First guess at the size of a value, and the most that is fetched. */
const VALUE_ROOM = 1024;
const MOST_VALUE = 1024 * 1024;
/** No key that carries a push has more entries than this. */
const MOST_ENTRIES = 65536;

const roots = { HKLM: openLocalMachine, HKU: openUsers, HKCR: openClassesRoot };

/** Hive is the short name of a predefined key that can be opened from afar. */
export type Hive = keyof typeof roots;

/** The most octets that the values of one key may have together. */
const MOST_VALUES = 16 * 1024 * 1024;

/**
 * largerRoom is what to ask for next: what the machine said it needs, or four times as much where it did not say (Samba). It at least
 * doubles, so that a machine that always needs one octet more is done with soon.
 */
function largerRoom(room: number, needed: number | null): number {
  return Math.min(needed !== null && needed > room ? Math.max(needed, room * 2) : room * 4, MOST_VALUE);
}

function lie(operation: string, field: string, why: string): Error {
  return raise('PP_WIRE_MALFORMED', { message: `${operation} response`, field, offset: 0, why });
}

/** taken is what an answer brought, which is never more than it was given room for. */
function taken(operation: string, octets: Uint8Array | undefined, room: number): Uint8Array {
  if (octets && octets.length > room) throw lie(operation, 'data', `${octets.length} octets, asked were ${room}`);
  return octets ?? new Uint8Array(0);
}

function named(operation: string, text: string | null, room: number): string {
  if (text && text.length > room) throw lie(operation, 'name', `${text.length} characters, asked were ${room}`);
  return text ?? '';
}

/** RegKey is an open key, for reading. */
export class RegKey {
  readonly path: string;
  readonly #rpc: RpcClient;
  readonly #handle: Uint8Array;

  constructor(rpc: RpcClient, handle: Uint8Array, path: string) {
    this.#rpc = rpc;
    this.#handle = handle;
    this.path = path;
  }

  /** value reads one value, or gives undefined when there is none of that name ('' is the default value). */
  async value(name: string): Promise<RegistryValue | undefined> {
    for (let room = VALUE_ROOM; ;) {
      const buffer = { capacity: room, octets: new Uint8Array(0) };
      const request = { key: this.#handle, valueName: name, type: 0, data: buffer, dataSize: room, dataLength: 0 };
      const answer = await this.#rpc.call(queryValue, request);
      if (answer.status === WIN32.FILE_NOT_FOUND) return undefined;
      if (answer.status === WIN32.MORE_DATA && room < MOST_VALUE) {
        room = largerRoom(room, answer.dataSize);
        continue;
      }
      this.#check(answer.status, 'QueryValue', name);
      return { type: answer.type ?? 0, data: taken('QueryValue', answer.data?.octets, room) };
    }
  }

  /** string reads a text value; undefined when it is not there or is no text. */
  async string(name: string): Promise<string | undefined> {
    const value = await this.value(name);
    return value && textOf(value);
  }

  /** dword reads a 32-bit number; undefined when it is not there or is no number. */
  async dword(name: string): Promise<number | undefined> {
    const value = await this.value(name);
    return value && numberOf(value);
  }

  /** subkeys lists the names of the keys directly below. */
  async subkeys(): Promise<string[]> {
    const names: string[] = [];
    for (let index = 0; index < MOST_ENTRIES; index++) {
      const name = { capacity: KEY_NAME_ROOM, text: '' };
      const request = { key: this.#handle, index, name, className: { capacity: KEY_NAME_ROOM, text: '' }, lastWriteTime: 0n };
      const answer = await this.#rpc.call(enumKey, request);
      if (answer.status === WIN32.NO_MORE_ITEMS) return names;
      this.#check(answer.status, 'EnumKey');
      names.push(named('EnumKey', answer.name.text, KEY_NAME_ROOM));
    }
    return names;
  }

  /** values lists the values of the key with their contents. */
  async values(): Promise<(RegistryValue & { name: string })[]> {
    const values: (RegistryValue & { name: string })[] = [];
    let room = VALUE_ROOM;
    let octets = 0;
    for (let index = 0; index < MOST_ENTRIES;) {
      const buffer = { capacity: room, octets: new Uint8Array(0) };
      const valueName = { capacity: VALUE_NAME_ROOM, text: '' };
      const request = { key: this.#handle, index, valueName, type: 0, data: buffer, dataSize: room, dataLength: 0 };
      const answer = await this.#rpc.call(enumValue, request);
      if (answer.status === WIN32.NO_MORE_ITEMS) return values;
      if (answer.status === WIN32.MORE_DATA && room < MOST_VALUE) {
        room = largerRoom(room, answer.dataSize);
        continue;
      }
      this.#check(answer.status, 'EnumValue');
      const data = taken('EnumValue', answer.data?.octets, room);
      const called = named('EnumValue', answer.valueName.text, VALUE_NAME_ROOM);
      octets += data.length + 2 * called.length;
      if (octets > MOST_VALUES) throw lie('EnumValue', 'data', `values of more than ${MOST_VALUES} octets`);
      values.push({ name: called, type: answer.type ?? 0, data });
      index++;
    }
    return values;
  }

  /** close gives the handle back; it never fails, since closing the pipe would do the same. */
  async close(): Promise<void> {
    await this.#rpc.call(closeKey, { key: this.#handle }).catch(() => undefined);
  }

  #check(status: number, operation: string, name?: string): void {
    const subject = name === undefined ? this.path : `${this.path}, value ${name || '(Default)'}`;
    if (status !== WIN32.SUCCESS) throw refusal('registry', status, operation, subject);
  }
}

/** RemoteRegistry reads the registry of a machine; the predefined keys are opened when they are first needed. */
export class RemoteRegistry {
  readonly #rpc: RpcClient;
  readonly #roots = new Map<Hive, Uint8Array>();

  constructor(rpc: RpcClient) {
    this.#rpc = rpc;
  }

  /** key opens a key for reading, or gives undefined when there is none; `access` may ask for another view (KEY_WOW64_32KEY 0x0200). */
  async key(hive: Hive, path: string, access = KEY_READ): Promise<RegKey | undefined> {
    const root = await this.#root(hive);
    const request = { key: root, subKey: path, options: 0, desiredAccess: access };
    const { result, status } = await this.#rpc.call(openKey, request);
    if (status === WIN32.FILE_NOT_FOUND) return undefined;
    const full = `${hive}\\${path}`;
    if (status !== WIN32.SUCCESS) throw refusal('registry', status, 'OpenKey', full);
    return new RegKey(this.#rpc, result, full);
  }

  async #root(hive: Hive): Promise<Uint8Array> {
    const known = this.#roots.get(hive);
    if (known) return known;
    const { key, status } = await this.#rpc.call(roots[hive], { serverName: null, desiredAccess: KEY_READ });
    if (status !== WIN32.SUCCESS) throw refusal('registry', status, 'OpenKey', hive);
    this.#roots.set(hive, key);
    return key;
  }
}

/** openRegistry reads the registry through a bound winreg pipe. */
export function openRegistry(rpc: RpcClient): RemoteRegistry {
  return new RemoteRegistry(rpc);
}
