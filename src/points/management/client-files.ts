import { open, type FileHandle } from 'node:fs/promises';
import type { OutgoingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { raise } from '#base/errors';
import type { PackageFile } from '#records/package';
import { plainAddress } from '#wire/http';
import { branchOf } from './native.ts';
import { Paces } from './pace.ts';
import { Buffers, pump } from './pump.ts';
import { lengthOf, multipart, slicesOf, type Part, type Slice } from './ranges.ts';
import type { ManagementParts } from './server.ts';

/** Names of files as packages have them; anything else is nowhere, and is not looked for. */
const FILE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const SHA256 = /^[0-9a-f]{64}$/;
/** How soon a download that runs keeps to another bandwidth. */
const LOOK_MS = 5000;

/** Served is what all downloads of a listener share. */
interface Served extends ManagementParts {
  paces: Paces;
  buffers: Buffers;
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
  const served: Served = { ...parts, paces: parts.paces ?? new Paces(parts.clock), buffers: new Buffers() };
  // HEAD has a route of its own kind: the one that the framework adds would read the file to count it.
  const method = ['GET', 'HEAD'] as const;
  app.route<{ Params: { file: string } }>({
    method: [...method],
    url: '/CCM_Client/:file',
    handler: async (request, reply) => send(served, request, reply, await find(parts, request.params.file)),
  });
  app.route<{ Params: { sha256: string; file: string } }>({
    method: [...method],
    url: '/CCM_Client/:sha256/:file',
    handler: async (request, reply) => {
      const { file, sha256 } = request.params;
      return send(served, request, reply, await find(parts, file, sha256.toLowerCase()));
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
async function send(served: Served, request: FastifyRequest, reply: FastifyReply, file: PackageFile): Promise<FastifyReply> {
  const { size } = file;
  const etag = `"${file.sha256}"`;
  const { 'if-match': wanted, 'if-none-match': known, 'if-range': condition, range } = request.headers;
  reply.header('etag', etag).header('cache-control', 'no-cache');
  if (wanted !== undefined && !lists(wanted, etag, false)) return reply.code(412).send();
  if (known !== undefined && lists(known, etag, true)) return reply.code(304).send();
  const applies = request.method === 'GET' && (condition === undefined || condition === etag);
  const slices = applies ? slicesOf(range, size) : undefined;
  reply.header('accept-ranges', 'bytes');
  if (slices?.length === 0) return reply.code(416).header('content-range', `bytes */${size}`).send();
  const handle = await openContent(served, file);
  const parts = partsOf(served, reply, slices, size);
  reply.header('content-length', lengthOf(parts));
  if (request.method === 'HEAD' || size === 0) {
    await handle.close();
    return reply.send();
  }
  await deliver(served, request, reply, { handle, parts });
  return reply;
}

/** partsOf sets what the head says of the body, and gives the body's parts. */
function partsOf({ random }: Served, reply: FastifyReply, slices: Slice[] | undefined, size: number): Part[] {
  const [first, second] = slices ?? [];
  if (!first) {
    reply.type('application/octet-stream');
    return size === 0 ? [] : [{ start: 0, end: size - 1 }];
  }
  reply.code(206);
  if (!second) {
    reply.type('application/octet-stream').header('content-range', `bytes ${first.start}-${first.end}/${size}`);
    return [first];
  }
  // Nobody can know it beforehand, so no file holds it.
  const boundary = Buffer.from(random.bytes(18)).toString('hex');
  reply.type(`multipart/byteranges; boundary=${boundary}`);
  return multipart(slices!, size, boundary);
}

/** deliver takes the answer over from the framework, whose streams copy and allocate for each small piece. */
async function deliver(
  served: Served,
  request: FastifyRequest,
  reply: FastifyReply,
  { handle, parts }: { handle: FileHandle; parts: Part[] },
): Promise<void> {
  const { paces, buffers, site, clock, log } = served;
  const pace = paces.enter(plainAddress(request.ip));
  let rates = (await branchOf(served, request)).here.settings.points;
  let looked = clock.monotonic();
  reply.hijack();
  const { raw: response } = reply;
  response.writeHead(reply.statusCode, reply.getHeaders() as OutgoingHttpHeaders);
  try {
    await pump(handle, parts, {
      response,
      buffers,
      wait: (octets, signal) => pace.wait(octets, signal),
      async most() {
        if (clock.monotonic() - looked > LOOK_MS) {
          looked = clock.monotonic();
          rates = (await site.branch()).here.settings.points;
        }
        return pace.most(rates);
      },
    });
    if (!response.destroyed) response.end();
  } catch (error) {
    // The head is out, so that cutting the line is the only way to say that this is not the file.
    log.error('a download was cut short', { route: request.routeOptions.url, error });
    response.destroy();
  } finally {
    pace.leave();
    await handle.close();
  }
}

/** openContent opens a content before a header is sent, so that one that is gone or cut short is told as what it is. */
async function openContent(parts: Pick<ManagementParts, 'content'>, file: PackageFile): Promise<FileHandle> {
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
