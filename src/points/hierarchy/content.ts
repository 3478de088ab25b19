import { open } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';
import { raise } from '#base/errors';
import type { HierarchyParts } from './parts.ts';
import type { Signed } from './signed.ts';

/** One piece of a file has at most so many octets, so that each is signed whole. */
const LARGEST_PIECE = 4 * 1024 * 1024;

/** contentRoute gives children the files of packages in signed pieces: `/content/<sha256>?from=0&length=1048576`, 404 where there is none. */
export function contentRoute(api: FastifyInstance, parts: HierarchyParts, signed: Signed): void {
  api.get<{ Params: { sha256: string }; Querystring: { from?: string; length?: string } }>(
    '/content/:sha256',
    async (request, reply) => {
      await signed.verify(request);
      const { sha256 } = request.params;
      const [from, length] = [Number(request.query.from ?? '0'), Number(request.query.length ?? LARGEST_PIECE)];
      const right = Number.isSafeInteger(from) && from >= 0 && Number.isSafeInteger(length) && length > 0;
      if (!right || length > LARGEST_PIECE) throw raise('PP_LINK_MALFORMED', { why: 'from and length name no piece of a file' });
      const stored = /^[0-9a-f]{64}$/.test(sha256) ? await parts.content.stat(sha256) : undefined;
      if (!stored) throw raise('PP_STORE_CONTENT_MISSING', { sha256 });
      const piece = Buffer.alloc(Math.max(0, Math.min(length, stored.size - from)));
      const file = await open(parts.content.path(sha256));
      try {
        let filled = 0;
        while (filled < piece.length) {
          const { bytesRead } = await file.read(piece, filled, piece.length - filled, from + filled);
          if (bytesRead === 0) throw raise('PP_STORE_CONTENT_CORRUPT', { sha256, why: 'it is shorter than it was' });
          filled += bytesRead;
        }
      } finally {
        await file.close();
      }
      return reply
        .type('application/octet-stream')
        .header('x-pushpoint-size', stored.size)
        .headers(await signed.headers(request, 200, piece))
        .send(piece);
    },
  );
}
