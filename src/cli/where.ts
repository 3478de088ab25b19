import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { raise } from '#base/errors';
import { isServing, readRunning, startConsoleOnly } from '#executive';
import { Api } from './api.ts';
import { usage } from './failure.ts';
import { unusable, wrongFile } from './input.ts';
import { beforeSignal } from './interrupt.ts';
import { note } from './output.ts';

/** Where the command finds the site: a data folder on this machine, or a server somewhere. */
export interface Where {
  data?: string | undefined;
  server?: string | undefined;
  tokenFile?: string | undefined;
}

function readToken(file: string): string {
  let token: string;
  try {
    token = readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw unusable(file, cause);
  }
  if (!/^[A-Za-z0-9._~+/=-]{16,512}$/.test(token)) throw wrongFile(file, 'it holds no API token');
  return token;
}

async function openFolder(data: string): Promise<Api> {
  if (!existsSync(join(data, 'site.json'))) throw raise('PP_SITE_NOT_HERE', { data });
  const running = readRunning(data);
  if (running && (await isServing(running))) return new Api(running.console, readToken(join(data, 'run', 'console.token')), true);
  // Nobody serves this folder: serve it ourselves for this one call, so that a site can be prepared before it is up.
  const opening = startConsoleOnly(data);
  let stopping: Promise<void> | undefined;
  const stop = () => (stopping ??= opening.then((own) => own.stop()));
  // The database server has a session of its own, where Ctrl-C does not reach it: it would go on for nobody.
  const forget = beforeSignal(() => {
    note('pushpoint: interrupted; closing the database of the folder …');
    return stop();
  });
  try {
    const { url, token } = await opening;
    return new Api(url, token, false, async () => {
      await stop();
      forget();
    });
  } catch (error) {
    forget();
    throw error;
  }
}

function isThisMachine(host: string): boolean {
  const plain = host.replace(/^\[|\]$/g, '');
  return plain === 'localhost' || plain === '::1' || (isIP(plain) === 4 && plain.startsWith('127.'));
}

function openServer(server: string, tokenFile: string | undefined): Api {
  const url = URL.canParse(server) ? new URL(server) : undefined;
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw usage('--server wants a URL that begins with http:// or https://');
  // Such a URL would stand in the list of processes and in messages, with its secret.
  if (url.username || url.password || url.search || url.hash)
    throw usage('--server wants the URL alone; the token stands in --token-file');
  if (!tokenFile) throw usage('--server needs --token-file FILE (or PUSHPOINT_TOKEN_FILE)');
  const token = readToken(tokenFile);
  if (url.protocol === 'http:' && !isThisMachine(url.hostname))
    note(
      `pushpoint: warning: the token goes to ${url.host} over plain HTTP, where others on the way can read and use it; use https://`,
    );
  return new Api(url.href, token, true);
}

/** whereOf fills what the command line leaves open from the environment; what it says itself always counts more. */
export function whereOf(given: Where): Where {
  if (given.data !== undefined && given.server !== undefined) throw usage('say which site: --data or --server, not both');
  if (given.data === '') throw usage('--data wants a folder, not an empty name');
  const tokenFile = given.tokenFile ?? (process.env['PUSHPOINT_TOKEN_FILE'] || undefined);
  if (given.data !== undefined) return { data: given.data };
  if (given.server !== undefined) return { server: given.server, tokenFile };
  const data = process.env['PUSHPOINT_DATA'] || undefined;
  const server = process.env['PUSHPOINT_SERVER'] || undefined;
  if (data && server) throw usage('PUSHPOINT_DATA and PUSHPOINT_SERVER are both set; say --data or --server');
  return { data, server, tokenFile };
}

/** idleFolder is the named data folder where no site server serves it. */
export async function idleFolder(given: Where): Promise<string | undefined> {
  const { data } = whereOf(given);
  if (data === undefined) return undefined;
  if (!existsSync(join(data, 'site.json'))) throw raise('PP_SITE_NOT_HERE', { data });
  const running = readRunning(data);
  return running && (await isServing(running)) ? undefined : data;
}

/** openApi finds the site that the options or the environment name. */
export async function openApi(given: Where): Promise<Api> {
  const { data, server, tokenFile } = whereOf(given);
  if (server !== undefined) return openServer(server, tokenFile);
  if (data !== undefined) return openFolder(data);
  throw usage('say which site: --data DIR (or PUSHPOINT_DATA), or --server URL --token-file FILE');
}
