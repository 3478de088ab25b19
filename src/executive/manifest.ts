import { raise } from '#base/errors';
import { checkArchive, type Source, type Sums } from '#store/archive';
import type { Carried } from '#store/database';
import { version } from './site-folder.ts';

/** The form of backups and exports that this program writes, and the newest one that it reads. */
const VERSION = 1;
/** The first part: whoever reads it knows what the rest is. */
export const FORMAT_PART = 'format.json';
export const MANIFEST_PART = 'manifest.json';

type Kind = 'backup' | 'export';

/** Manifest says what a backup or export holds. */
export interface Manifest {
  kind: Kind;
  madeAt: string;
  program: string;
  site: { code: string; kind: 'primary' | 'secondary' };
  database: Carried & { kind: 'managed' | 'external' };
  content?: { files: number; octets: number; damaged: string[] };
  inbox?: { files: number };
  /** Whether the vault's private key is inside. */
  key?: boolean;
}

/** formatPart is the first part of an archive. */
export function formatPart(kind: Kind): Buffer {
  return Buffer.from(`${JSON.stringify({ format: `pushpoint ${kind}`, version: VERSION, program: version })}\n`);
}

/** Checked is an archive that was read to its end and found whole. */
export interface Checked {
  manifest: Manifest;
  sums: Sums;
  octets: number;
  rows: number;
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller says which shape it expects
function read<T>(file: string, part: string, kept: Map<string, Buffer>): T {
  try {
    return JSON.parse(kept.get(part)!.toString('utf8')) as T;
  } catch (cause) {
    throw raise('PP_STORE_BACKUP_DAMAGED', { file, part, why: 'it cannot be read' }, { cause });
  }
}

/** checkBackup reads a backup or export to its end and proves every part; nothing is written. */
export async function checkBackup(source: Source): Promise<Checked> {
  const { file } = source;
  const { sums, kept, octets } = await checkArchive(source, (name) => name === FORMAT_PART || name === MANIFEST_PART);
  if (!kept.has(FORMAT_PART)) throw raise('PP_STORE_BACKUP_FORMAT', { file });
  const format = read<{ format?: unknown; version?: unknown }>(file, FORMAT_PART, kept);
  if (format.format !== 'pushpoint backup' && format.format !== 'pushpoint export')
    throw raise('PP_STORE_BACKUP_FORMAT', { file });
  if (format.version !== VERSION)
    throw raise('PP_STORE_BACKUP_VERSION', { file, found: String(format.version), known: String(VERSION) });
  const manifest = read<Manifest>(file, MANIFEST_PART, kept);
  if (format.format !== `pushpoint ${manifest.kind}` || !Array.isArray(manifest.database?.tables))
    throw raise('PP_STORE_BACKUP_DAMAGED', { file, part: MANIFEST_PART, why: 'it does not describe this archive' });
  const rows = manifest.database.tables.reduce((sum, table) => sum + table.rows, 0);
  return { manifest, sums, octets, rows };
}
