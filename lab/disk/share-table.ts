import { sep } from 'node:path';
import { ACCESS, SHARE_ACCESS } from '#wire/smb';
import { STATUS } from '#wire/status';
import { DiskError } from './disk-error.ts';

const READS = ACCESS.READ_DATA | ACCESS.EXECUTE;
const WRITES = ACCESS.WRITE_DATA | ACCESS.APPEND_DATA;

/** Hold is what one open keeps others from doing. */
export interface Hold {
  access: number;
  share: number;
  /** image: the file is the program of a running service, so nobody may write to it or delete it. */
  image?: boolean;
}

/** FileNode is one file or folder that somebody has open; all its opens share it. */
export interface FileNode {
  real: string;
  size: number;
  deletePending: boolean;
  readonly holds: Set<Hold>;
}

function collides(wanted: Hold, held: Hold): boolean {
  const against = (access: number, share: number) =>
    (Boolean(access & READS) && !(share & SHARE_ACCESS.READ)) ||
    (Boolean(access & WRITES) && !(share & SHARE_ACCESS.WRITE)) ||
    (Boolean(access & ACCESS.DELETE) && !(share & SHARE_ACCESS.DELETE));
  // An open that asks for attributes alone takes no part in sharing, [MS-FSA] 2.1.5.1.2.2.
  const quiet = (hold: Hold) => !(hold.access & (READS | WRITES | ACCESS.DELETE));
  if (quiet(wanted) || quiet(held)) return false;
  return against(wanted.access, held.share) || against(held.access, wanted.share);
}

/** ShareTable knows what is open on one disk and who may open what beside it. */
export class ShareTable {
  readonly #nodes = new Map<string, FileNode>();

  node(real: string): FileNode | undefined {
    return this.#nodes.get(real);
  }

  /** check throws SHARING_VIOLATION or DELETE_PENDING if `wanted` does not fit beside what is open. */
  check(real: string, wanted: Hold): void {
    const node = this.#nodes.get(real);
    if (!node) return;
    if (node.deletePending) throw new DiskError(STATUS.DELETE_PENDING);
    for (const held of node.holds) if (collides(wanted, held)) throw new DiskError(STATUS.SHARING_VIOLATION);
  }

  add(real: string, size: number, hold: Hold): FileNode {
    let node = this.#nodes.get(real);
    if (!node) {
      node = { real, size, deletePending: false, holds: new Set() };
      this.#nodes.set(real, node);
    }
    node.holds.add(hold);
    return node;
  }

  /** remove takes one open away and tells whether it was the last. */
  remove(node: FileNode, hold: Hold): boolean {
    node.holds.delete(hold);
    if (node.holds.size > 0) return false;
    this.#nodes.delete(node.real);
    return true;
  }

  /** isImage tells whether a running program stands in that file. */
  isImage(real: string): boolean {
    return [...(this.#nodes.get(real)?.holds ?? [])].some((hold) => hold.image);
  }

  /** opensBelow tells whether anything inside a folder is open. */
  opensBelow(folder: string): boolean {
    return [...this.#nodes.keys()].some((real) => real.startsWith(folder + sep));
  }

  move(node: FileNode, to: string): void {
    this.#nodes.delete(node.real);
    node.real = to;
    this.#nodes.set(to, node);
  }
}
