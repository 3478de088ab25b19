import { Client } from 'pg';
import { raise } from '#base/errors';
import { translated } from './failures.ts';
import { OLDEST_MAJOR } from './managed/binaries.ts';
import { settings, type Where } from './pool.ts';

/** shown is the URL without its password, in either place where one can stand. */
function shown(url: URL): string {
  const copy = new URL(url);
  copy.password = '';
  for (const name of ['password', 'sslpassword']) copy.searchParams.delete(name);
  return copy.href;
}

/** externalServer checks that an administrator's PostgreSQL can be used; the URL is never repeated in an error, it may hold a password. */
export async function externalServer(text: string): Promise<Where> {
  // PostgreSQL allows a user without a host (which then is a socket folder in `?host=`), the URL standard does not.
  const standard = text.replace(/^(postgres(?:ql)?:\/\/[^/?#]*@)(?=\/)/, '$1localhost');
  if (!URL.canParse(standard) || !/^postgres(ql)?:$/.test(new URL(standard).protocol)) throw raise('PP_STORE_URL');
  const url = new URL(standard);
  const where = `${url.searchParams.get('host') ?? (url.host || 'localhost')}${url.pathname}`;
  const at: Where = { kind: 'external', url: shown(url), where, config: { connectionString: text } };
  const client = new Client(settings(at));
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ number: string; version: string; may: boolean }>(
      `select current_setting('server_version_num') as number, current_setting('server_version') as version,
              has_schema_privilege(current_schema(), 'create') as may`,
    );
    const { number, version, may } = rows[0]!;
    if (Number(number) < OLDEST_MAJOR * 10_000) throw raise('PP_STORE_TOO_OLD', { where, version, oldest: OLDEST_MAJOR });
    if (!may) throw raise('PP_STORE_NO_RIGHTS', { where, why: 'no tables may be created in the schema' });
  } catch (error) {
    throw translated(error, where);
  } finally {
    await client.end().catch(() => {});
  }
  return at;
}
