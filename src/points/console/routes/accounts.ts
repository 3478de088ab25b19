import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import { passwordPurpose, type AccountListed } from '#records/account';
import { shownName } from '#records/resource';
import { change, DryRun } from '../change.ts';
import type { ConsoleParts } from '../server.ts';
import { line, Named, strict } from '../shapes.ts';

// Windows takes 256 characters at most (PWLEN), of any kind.
const Password = Type.String({ minLength: 1, maxLength: 512 });
const Scope = Type.Union([
  Type.Object({ kind: Type.Literal('site') }, strict),
  Type.Object({ kind: Type.Literal('host'), pattern: line(253, 1) }, strict),
  Type.Object({ kind: Type.Literal('subnet'), cidr: line(50, 1) }, strict),
]);
const NewAccount = Type.Object({ name: line(64, 1), username: line(300, 1), password: Password, scope: Scope }, strict);
const Resume = Type.Object({ password: Type.Optional(Password) }, strict);

async function named(parts: ConsoleParts, name: string): Promise<AccountListed> {
  const found = (await parts.account.list()).find((a) => a.name.toLowerCase() === name.toLowerCase());
  if (!found) throw raise('PP_API_NOT_FOUND', { kind: 'account', name: shownName(name) });
  return found;
}

/** accountRoutes: push accounts. A password comes in, is sealed at once with the vault's public key, and never goes out again. */
export function accountRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  const { account, audit, sealer } = parts;
  api.get('/accounts', { schema: { summary: 'Push accounts, never with a password' } }, async () => ({
    items: await account.list(),
  }));
  api.post<{ Body: Static<typeof NewAccount>; Querystring: DryRun }>(
    '/accounts',
    { schema: { summary: 'Add a push account', body: NewAccount, querystring: DryRun } },
    async (request) => {
      const { name, username, password, scope } = request.body;
      return change(parts.database, request.query, async (tx) => {
        const made = await account.add(
          { name, username, scope, sealedPassword: sealer.seal(password, passwordPurpose(username)) },
          tx,
        );
        await audit.write(
          {
            who: request.who,
            what: 'account.add',
            object: made.name,
            detail: { username: made.username, scope: made.scope },
            address: request.ip,
          },
          tx,
        );
        return made;
      });
    },
  );
  api.post<{ Params: Static<typeof Named>; Body: Static<typeof Resume>; Querystring: DryRun }>(
    '/accounts/:name/resume',
    {
      schema: {
        summary: 'Use a stopped account again, with a new password if one is given',
        params: Named,
        body: Resume,
        querystring: DryRun,
      },
    },
    async (request) => {
      const { name, username } = await named(parts, request.params.name);
      const { password } = request.body;
      return change(parts.database, request.query, async (tx) => {
        if (password !== undefined) await account.setPassword(name, sealer.seal(password, passwordPurpose(username)), tx);
        const resumed = await account.resume(name, tx);
        await audit.write(
          {
            who: request.who,
            what: 'account.resume',
            object: name,
            detail: { newPassword: password !== undefined },
            address: request.ip,
          },
          tx,
        );
        return resumed;
      });
    },
  );
  api.delete<{ Params: Static<typeof Named>; Querystring: DryRun }>(
    '/accounts/:name',
    { schema: { summary: 'Forget a push account', params: Named, querystring: DryRun } },
    async (request) => {
      const { name } = await named(parts, request.params.name);
      await change(parts.database, request.query, async (tx) => {
        await account.remove(name, tx);
        await audit.write({ who: request.who, what: 'account.remove', object: name, address: request.ip }, tx);
      });
      return { removed: name };
    },
  );
}
