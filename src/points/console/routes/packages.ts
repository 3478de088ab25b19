import type { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import { change, DryRun } from '../change.ts';
import type { ConsoleParts } from '../server.ts';
import { strict } from '../shapes.ts';

const LARGEST_FILE = 2 * 1024 * 1024 * 1024;
const File = Type.Object(
  {
    name: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$' }),
    sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    size: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  },
  strict,
);
const Named = Type.Object({ name: Type.String({ maxLength: 128 }) }, strict);
const NewPackage = Type.Object({ definition: Type.Unknown(), files: Type.Array(File, { minItems: 1, maxItems: 64 }) }, strict);

/** packageRoutes: what is pushed. Files go first, into the content folder; then the definition that names them. */
export function packageRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  api.get('/packages', { schema: { summary: 'Packages' } }, async () => ({ items: await parts.package.list() }));
  api.post(
    '/content',
    {
      bodyLimit: LARGEST_FILE,
      schema: { summary: 'Store a file; the answer names it by its SHA-256', consumes: ['application/octet-stream'] },
    },
    async (request) => {
      const body = request.body as Readable | null;
      if (!body || typeof body !== 'object' || !(Symbol.asyncIterator in body))
        throw raise('PP_API_INVALID', { why: 'the file is sent as application/octet-stream' });
      const stored = await parts.content.put(bounded(body));
      await parts.audit.write({
        who: request.who,
        what: 'content.add',
        object: stored.sha256,
        detail: { size: stored.size },
        address: request.ip,
      });
      return stored;
    },
  );
  api.post<{ Body: Static<typeof NewPackage>; Querystring: DryRun }>(
    '/packages',
    {
      schema: {
        summary: 'Add a package, or a newer version in its place',
        description: 'A dry run judges the definition before its files are sent.',
        body: NewPackage,
        querystring: DryRun,
      },
    },
    async ({ body, query, who, ip }) => {
      const { definition, files } = body;
      if (!query.dryRun) await checkContent(parts, files);
      return change(parts.database, query, async (tx) => {
        const made = await parts.package.add(definition, files, who, tx);
        const object = `${made.name} ${made.version}`;
        await parts.audit.write({ who, what: 'package.add', object, detail: { files }, address: ip }, tx);
        return made;
      });
    },
  );
  removeRoute(api, parts);
}

/** removeRoute: a package that nobody needs goes; the bytes of its files stay where they lie, beside those of the others. */
function removeRoute(api: FastifyInstance, parts: ConsoleParts): void {
  api.delete<{ Params: Static<typeof Named>; Querystring: DryRun }>(
    '/packages/:name',
    {
      schema: {
        summary: 'Remove a package',
        description:
          'Refused while CCRs or policies that are not over need it, and of a default while there is another for its platform.',
        params: Named,
        querystring: DryRun,
      },
    },
    ({ params, query, who, ip }) =>
      change(parts.database, query, async (tx) => {
        const { name, version, platform, isDefault } = await parts.package.removeUnused(params.name, tx);
        const object = `${name} ${version}`;
        await parts.audit.write({ who, what: 'package.remove', object, detail: { platform, isDefault }, address: ip }, tx);
        return { name, version, platform, isDefault };
      }),
  );
}

async function checkContent(parts: ConsoleParts, files: Static<typeof NewPackage>['files']): Promise<void> {
  for (const file of files) {
    const stored = await parts.content.stat(file.sha256);
    if (stored?.size !== file.size)
      throw raise('PP_API_INVALID', { why: `the content of ${file.name} is not here; send it to /content first` });
  }
}

async function* bounded(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > LARGEST_FILE) throw raise('PP_API_INVALID', { why: `a file of a package has at most ${LARGEST_FILE} octets` });
    yield chunk;
  }
}
