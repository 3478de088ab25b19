import { open, type FileHandle } from 'node:fs/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { raise } from '#base/errors';
import type { PackageFile } from '#records/package';
import type { ManagementParts } from './server.ts';

/** Names of files as packages have them; anything else is nowhere, and is not looked for. */
const FILE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/** Slice is a run of octets, both ends included, or 'unsatisfiable', or undefined for the whole. */
type Slice = { start: number; end: number } | 'unsatisfiable' | undefined;

/** sliceOf reads a Range header of one range (RFC 9110 section 14.2); several ranges or other units are answered with the whole. */
function sliceOf(header: string | undefined, size: number): Slice {
  const match = /^bytes=(\d*)-(\d*)$/i.exec(header?.trim() ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  if (match[1] === '') {
    const last = Number(match[2]);
    return last === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(0, size - last), end: size - 1 };
  }
  const start = Number(match[1]);
  const end = match[2] === '' ? Infinity : Number(match[2]);
  if (end < start) return undefined;
  return start >= size ? 'unsatisfiable' : { start, end: Math.min(end, size - 1) };
}

/** lists tells whether a list of entity tags names this one (RFC 9110 section 8.8.3); a weak tag counts only where `weak` says so. */
function lists(header: string, etag: string, weak: boolean): boolean {
  const tags = header.split(',').map((tag) => tag.trim());
  return tags.some((tag) => tag === '*' || (weak ? tag.replace(/^W\//, '') : tag) === etag);
}

/**
 * clientFiles answers `GET /CCM_Client/<file>` with Range and ETag (= SHA-256 of the content): the name for the default package,
 * `<sha256>/<name>` for exactly that content. What is served is public by design; the trust anchor is mobileclient.tcf.
 */
export function clientFiles(app: FastifyInstance, parts: ManagementParts): void {
  // HEAD has a route of its own kind: the one that the framework adds would read the file to count it.
  const method = ['GET', 'HEAD'] as const;
  app.route<{ Params: { file: string } }>({
    method: [...method],
    url: '/CCM_Client/:file',
    handler: async (request, reply) => send(parts, request, reply, await find(parts, request.params.file)),
  });
  app.route<{ Params: { sha256: string; file: string } }>({
    method: [...method],
    url: '/CCM_Client/:sha256/:file',
    handler: async (request, reply) => {
      const { file, sha256 } = request.params;
      return send(parts, request, reply, await find(parts, file, sha256.toLowerCase()));
    },
  });
}

async function find(parts: ManagementParts, name: string, sha256?: string): Promise<PackageFile> {
  const readable = FILE.test(name) && (sha256 === undefined || SHA256.test(sha256));
  const file = readable ? await parts.package.fileNamed(name, sha256) : undefined;
  if (!file) throw raise('PP_MP_NOT_HERE');
  return file;
}

/** send answers by the preconditions in the order of RFC 9110 section 13.2.2, then by the range. */
async function send(
  parts: ManagementParts,
  request: FastifyRequest,
  reply: FastifyReply,
  file: PackageFile,
): Promise<FastifyReply> {
  const { size } = file;
  const etag = `"${file.sha256}"`;
  const { 'if-match': wanted, 'if-none-match': known, 'if-range': condition, range } = request.headers;
  reply.header('etag', etag).header('cache-control', 'no-cache');
  if (wanted !== undefined && !lists(wanted, etag, false)) return reply.code(412).send();
  if (known !== undefined && lists(known, etag, true)) return reply.code(304).send();
  const applies = request.method === 'GET' && (condition === undefined || condition === etag);
  const slice = applies ? sliceOf(range, size) : undefined;
  reply.header('accept-ranges', 'bytes');
  if (slice === 'unsatisfiable') return reply.code(416).header('content-range', `bytes */${size}`).send();
  const { start, end } = slice ?? { start: 0, end: size - 1 };
  const handle = await openContent(parts, file);
  reply.type('application/octet-stream').header('content-length', end - start + 1);
  if (slice) reply.code(206).header('content-range', `bytes ${start}-${end}/${size}`);
  if (request.method === 'HEAD' || size === 0) {
    await handle.close();
    return reply.send();
  }
  // The stream owns the handle: it closes it at the end, and when the answer is cut off.
  return reply.send(handle.createReadStream({ start, end }));
}

/** openContent opens a content before a header is sent, so that one that is gone or cut short is told as what it is. */
async function openContent(parts: ManagementParts, file: PackageFile): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(parts.content.path(file.sha256));
  } catch (cause) {
    throw raise('PP_MP_CONTENT', { file: file.name }, { cause });
  }
  const { size } = await handle.stat();
  if (size === file.size) return handle;
  await handle.close();
  throw raise('PP_MP_CONTENT', { file: file.name }, { detail: `it has ${size} octets instead of ${file.size}` });
}
