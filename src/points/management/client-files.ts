import { createReadStream } from 'node:fs';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { raise } from '#base/errors';
import type { ManagementParts } from './server.ts';

interface Served {
  name: string;
  sha256: string;
  size: number;
}

/** Slice is a run of octets, both ends included, or 'unsatisfiable', or undefined for the whole. */
type Slice = { start: number; end: number } | 'unsatisfiable' | undefined;

/** sliceOf reads a Range header of one range (RFC 9110 section 14.2); several ranges or other units are answered with the whole. */
function sliceOf(header: string | undefined, size: number): Slice {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  if (match[1] === '') {
    const last = Number(match[2]);
    return last === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(0, size - last), end: size - 1 };
  }
  const start = Number(match[1]);
  if (start >= size) return 'unsatisfiable';
  const end = match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1);
  return end < start ? undefined : { start, end };
}

function names(etag: string, header: string): boolean {
  return header
    .split(',')
    .map((part) => part.trim().replace(/^W\//, ''))
    .some((part) => part === etag || part === '*');
}

/**
 * clientFiles answers `GET /CCM_Client/<file>` with Range and ETag (= SHA-256 of the content): the name for the default package,
 * `<sha256>/<name>` for exactly that content. What is served is public by design; the trust anchor is mobileclient.tcf.
 */
export function clientFiles(app: FastifyInstance, parts: ManagementParts): void {
  app.get<{ Params: { file: string } }>('/CCM_Client/:file', async (request, reply) =>
    send(parts, request, reply, await parts.package.fileNamed(request.params.file)),
  );
  app.get<{ Params: { sha256: string; file: string } }>('/CCM_Client/:sha256/:file', async (request, reply) => {
    const found = await parts.package.fileNamed(request.params.file, request.params.sha256.toLowerCase());
    return send(parts, request, reply, found);
  });
}

async function send(
  parts: ManagementParts,
  request: FastifyRequest,
  reply: FastifyReply,
  file: Served | undefined,
): Promise<FastifyReply> {
  if (!file) throw raise('PP_MP_NOT_HERE');
  const etag = `"${file.sha256}"`;
  reply
    .header('etag', etag)
    .header('accept-ranges', 'bytes')
    .header('cache-control', 'no-cache')
    .type('application/octet-stream');
  const known = request.headers['if-none-match'];
  if (known !== undefined && names(etag, known)) return reply.code(304).send();
  const condition = request.headers['if-range'];
  const slice = condition !== undefined && condition !== etag ? undefined : sliceOf(request.headers.range, file.size);
  if (slice === 'unsatisfiable') return reply.code(416).header('content-range', `bytes */${file.size}`).send();
  const length = slice ? slice.end - slice.start + 1 : file.size;
  reply.header('content-length', length);
  if (slice) reply.code(206).header('content-range', `bytes ${slice.start}-${slice.end}/${file.size}`);
  if (request.method === 'HEAD' || length === 0) return reply.send('');
  return reply.send(createReadStream(parts.content.path(file.sha256), slice));
}
