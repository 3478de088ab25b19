import { toUtf16 } from '#wire/bytes';
import { winreg } from '#wire/rpc';
import { WIN32 } from '#wire/status';
import { Win32Refusal } from './refusal.ts';

/** RegistryItem is one value as it stands in the registry. */
export interface RegistryItem {
  name: string;
  type: number;
  data: Uint8Array;
}

/** RegistryNode is one key. */
export class RegistryNode {
  readonly name: string;
  readonly parent: RegistryNode | undefined;
  readonly children = new Map<string, RegistryNode>();
  readonly values = new Map<string, RegistryItem>();
  removed = false;

  constructor(name: string, parent?: RegistryNode) {
    this.name = name;
    this.parent = parent;
  }
}

export type Hive = 'HKLM' | 'HKCU' | 'HKCR' | 'HKU';

const fold = (name: string) => name.toLowerCase();

function parts(path: string): string[] {
  return path.split('\\').filter((part) => part !== '');
}

/** szData is a REG_SZ as it is stored: UTF-16LE with its NUL. */
export function szData(text: string): Uint8Array {
  return toUtf16(`${text}\0`);
}

/** dwordData is a REG_DWORD as it is stored. */
export function dwordData(value: number): Uint8Array {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, value, true);
  return data;
}

/** Registry is the registry of a machine: keys and values, names compared without case. */
export class Registry {
  readonly #hives: Record<Hive, RegistryNode> = {
    HKLM: new RegistryNode('HKEY_LOCAL_MACHINE'),
    HKCU: new RegistryNode('HKEY_CURRENT_USER'),
    HKCR: new RegistryNode('HKEY_CLASSES_ROOT'),
    HKU: new RegistryNode('HKEY_USERS'),
  };

  hive(hive: Hive): RegistryNode {
    return this.#hives[hive];
  }

  /** open finds a key below another, or refuses with 2. */
  open(from: RegistryNode, path: string): RegistryNode {
    let node = from;
    if (node.removed) throw new Win32Refusal(WIN32.KEY_DELETED);
    for (const part of parts(path)) {
      const next = node.children.get(fold(part));
      if (!next) throw new Win32Refusal(WIN32.FILE_NOT_FOUND, `no key ${path}`);
      node = next;
    }
    return node;
  }

  /** create makes the key with all above it, and tells whether it is new. */
  create(from: RegistryNode, path: string): { node: RegistryNode; created: boolean } {
    let node = from;
    let created = false;
    if (node.removed) throw new Win32Refusal(WIN32.KEY_DELETED);
    for (const part of parts(path)) {
      if (part.length > 255) throw new Win32Refusal(WIN32.INVALID_PARAMETER);
      let next = node.children.get(fold(part));
      if (!next) {
        next = new RegistryNode(part, node);
        node.children.set(fold(part), next);
        created = true;
      }
      node = next;
    }
    return { node, created };
  }

  /** removeKey takes a key away; one with keys below it is refused with 5, as Windows does. */
  removeKey(from: RegistryNode, path: string): void {
    const node = this.open(from, path);
    if (node.children.size > 0 || !node.parent) throw new Win32Refusal(WIN32.ACCESS_DENIED, 'it has keys below it');
    node.removed = true;
    node.parent.children.delete(fold(node.name));
  }

  /** removeTree takes a key away with all below it; nothing happens when it is not there. */
  removeTree(hive: Hive, path: string): void {
    try {
      const node = this.open(this.hive(hive), path);
      node.removed = true;
      node.parent?.children.delete(fold(node.name));
    } catch (error) {
      if (!(error instanceof Win32Refusal)) throw error;
    }
  }

  get(node: RegistryNode, name: string): RegistryItem {
    if (node.removed) throw new Win32Refusal(WIN32.KEY_DELETED);
    const item = node.values.get(fold(name));
    if (!item) throw new Win32Refusal(WIN32.FILE_NOT_FOUND, `no value ${name}`);
    return item;
  }

  set(node: RegistryNode, item: RegistryItem): void {
    if (node.removed) throw new Win32Refusal(WIN32.KEY_DELETED);
    node.values.set(fold(item.name), item);
  }

  unset(node: RegistryNode, name: string): void {
    this.get(node, name);
    node.values.delete(fold(name));
  }

  /** seed writes a text or a number below HKLM, making the key. */
  seed(path: string, name: string, value: string | number): void {
    const { node } = this.create(this.hive('HKLM'), path);
    if (typeof value === 'number') this.set(node, { name, type: winreg.RegistryType.DWORD, data: dwordData(value) });
    else this.set(node, { name, type: winreg.RegistryType.SZ, data: szData(value) });
  }
}
