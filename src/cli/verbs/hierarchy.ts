import { closeSync, openSync, writeSync } from 'node:fs';
import type { Command } from 'commander';
import { joinSite } from '#executive';
import { usage } from '../failure.ts';
import { unusable, wrongFile } from '../input.ts';
import { EXIT, note, print, printDone, printJson, shellWord, table } from '../output.ts';
import { DRY_RUN, numberOption, type Verbs } from '../verb.ts';

interface LinkJson {
  role: 'parent' | 'child';
  state: 'joined' | 'removed';
  url?: string;
  exchangedAt?: string;
  silentSeconds?: number;
  backlog: number;
  oldestAt?: string;
  rejected: number;
  sent: number;
  acked: number;
  skewMs: number;
  restarts: number;
  copiesAt?: string;
  error?: { code: string; message: string; at: string };
}

interface SiteJson {
  code: string;
  kind: string;
  parent?: string;
  own: boolean;
  createdAt: string;
  link?: LinkJson;
}

interface TokenJson {
  parent: string;
  token: string;
  expiresAt: string;
}

/** hierarchyVerbs: site token, join, list, pin, remove. */
export function hierarchyVerbs(verbs: Verbs, site: Command): void {
  tokenVerb(verbs, site);
  joinVerb(verbs, site);
  listVerb(verbs, site);
  pinVerb(verbs, site);
  removeVerb(verbs, site);
}

function tokenVerb(verbs: Verbs, site: Command): void {
  verbs
    .add<{ hours?: number; out?: string }>(site, {
      name: 'token',
      does: 'make a one-time token with which one site can join below this one (docs/hierarchy.md)',
      examples: [
        'pushpoint site token --out s01.token --data /srv/pushpoint',
        'pushpoint site token --hours 2 --out s01.token --data /srv/pushpoint',
        'pushpoint site token --data /srv/pushpoint | ssh s01.corp.example "umask 077; cat > s01.token"',
      ],
      run: (context, { hours, out }) =>
        context.withApi(async (api) => {
          if (out === undefined && process.stdout.isTTY && !context.json)
            throw usage('a token is a secret and is not shown on a terminal: --out FILE, or a pipe');
          const file = out === undefined ? undefined : openNew(out);
          const made = await api.send<TokenJson>('POST', '/sites/tokens', { hours });
          const text = `${JSON.stringify(made, undefined, 2)}\n`;
          if (file === undefined) {
            process.stdout.write(text);
            return EXIT.ok;
          }
          writeSync(file, text);
          closeSync(file);
          const told = { parent: made.parent, token: made.token, expiresAt: made.expiresAt, file: out };
          if (context.json) printJson(told);
          else {
            print(
              `Token ${made.token} of site ${made.parent} written to ${shellWord(out!)}; one site can use it until ${made.expiresAt}.`,
            );
            // Where clients reach this site, a child does as a rule too.
            const { items: points } = await api.get<{ items: { site: string; kind: string; address: string; on: boolean }[] }>(
              '/points',
            );
            const at =
              points.find((p) => p.on && p.kind === 'mp' && p.site === made.parent)?.address ?? 'http://THIS-SERVER:8480';
            print('Carry the file to the new site over a way that you trust, and there:');
            print(`  pushpoint site join S01 --parent ${at} --token-file ${shellWord(out!)} --data DIR`);
          }
          return EXIT.ok;
        }),
    })
    .addOption(numberOption('--hours <n>', 'how long it counts (default 24)', 1, 8760))
    .option('--out <file>', 'a new file for it, readable for you alone');
}

/** openNew makes the file before the token, so that no token is made for nothing; never over another file. */
function openNew(file: string): number {
  try {
    return openSync(file, 'wx', 0o600);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') throw wrongFile(file, 'it is there already; name a new one', cause);
    throw unusable(file, cause);
  }
}

interface JoinOptions {
  parent?: string;
  tokenFile?: string;
  primary?: boolean;
  listen?: string;
  console?: string;
  database?: string;
  dryRun?: boolean;
}

function joinVerb(verbs: Verbs, site: Command): void {
  verbs
    .add<JoinOptions>(site, {
      name: 'join <code>',
      does: 'make a secondary site (or a child primary) below a parent, or join a site that is there again',
      examples: [
        'pushpoint site join S01 --parent http://p01.corp.example:8480 --token-file s01.token --data /srv/pushpoint',
        'pushpoint site join S01 --parent https://p01.corp.example:8443 --token-file s01.token --data /srv/pushpoint',
        'pushpoint site join P02 --primary --parent http://p01.corp.example:8480 --token-file p02.token --data /srv/pushpoint',
      ],
      takes: 'folder',
      async run(context, options, code) {
        const { parent, tokenFile, primary = false, ...more } = options;
        if (parent === undefined || tokenFile === undefined) throw usage('site join needs --parent URL and --token-file FILE');
        const { listen, console, database, dryRun } = more;
        const wish = { code, data: context.folder(), parent, tokenFile, primary, listen, console, database, dryRun };
        const made = await joinSite(wish);
        if (context.json) printJson(made);
        else {
          printDone(
            `${made.kind === 'primary' ? 'Primary' : 'Secondary'} site ${made.code} in ${made.data} is below ${made.parent}.`,
            dryRun,
          );
          if (dryRun) return EXIT.ok;
          if (made.pin) print(`The TLS key of ${made.parent} was taken note of: SHA-256 ${made.pin}`);
          print(made.again ? 'A site server that runs takes it up by itself; else:' : 'Next:');
          print(`  pushpoint up --data ${shellWord(made.data)}`);
        }
        return EXIT.ok;
      },
    })
    .option('--parent <url>', 'the points listener of the parent')
    .option('--token-file <file>', 'the file that pushpoint site token made there')
    .option('--primary', 'a child primary, with clients of its own, instead of a secondary')
    .option('--listen <host:port>', 'where clients reach the points (default 0.0.0.0:8480)')
    .option('--console <host:port>', 'where the API listens (default 127.0.0.1:8481)')
    .option('--database <url>', 'an external PostgreSQL 15 or newer instead of the embedded one (no password in it)')
    .option(...DRY_RUN);
}

/** A poll is answered every 20 seconds; after a few that did not come the line counts as silent. */
const SILENT_SECONDS = 90;

function spanText(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** lineText says in a few words how the line to a neighbour is. */
function lineText(link: LinkJson | undefined): string {
  if (!link) return '';
  if (link.state === 'removed') return link.role === 'parent' ? 'removed by the parent' : 'removed';
  if (link.error) return `down: ${link.error.code}`;
  if (link.silentSeconds === undefined) return 'never heard of';
  return link.silentSeconds > SILENT_SECONDS ? `silent for ${spanText(link.silentSeconds)}` : 'up';
}

function listVerb(verbs: Verbs, site: Command): void {
  verbs.add(site, {
    name: 'list',
    does: 'the sites this one knows, and the lines to its parent and children',
    examples: ['pushpoint site list --data ./p01', 'pushpoint site list --json --data ./s01'],
    run: (context) =>
      context.withApi(async (api) => {
        const { items } = await api.get<{ items: SiteJson[] }>('/sites');
        if (context.json) {
          printJson({ items });
          return EXIT.ok;
        }
        table(
          ['CODE', 'KIND', 'PARENT', 'HERE', 'LINE', 'LAST EXCHANGE', 'WAITING', 'PUT ASIDE'],
          items.map(({ code, kind, parent, own, link }) => [
            code,
            kind,
            parent,
            own ? 'yes' : '',
            lineText(link),
            link?.exchangedAt ?? '',
            link ? String(link.backlog) : '',
            link?.rejected ? String(link.rejected) : '',
          ]),
        );
        for (const { code, link } of items) {
          if (link?.error) print(`${code}: since ${link.error.at}: ${link.error.message}`);
          if (link?.copiesAt)
            print(
              `${code}: two servers of this site spoke in turns until ${link.copiesAt}: one is a copy; stop it, or remove the site and join it anew`,
            );
          if (link && Math.abs(link.skewMs) > 60_000)
            print(`${code}: its clock is ${Math.round(link.skewMs / 1000)} seconds before this one's`);
        }
        return EXIT.ok;
      }),
  });
}

function pinVerb(verbs: Verbs, site: Command): void {
  verbs
    .add<{ dryRun?: boolean }>(site, {
      name: 'pin <code> <sha256>',
      does: 'say which TLS key the parent has now, where another server does TLS for it and its certificate got another key',
      examples: [
        'pushpoint site pin P01 584d84344259eddba6ba84079d6e33f380117c401af2d419c80a5bc9b599f936 --data ./s01',
        'openssl x509 -in p01.pem -noout -pubkey | openssl pkey -pubin -outform der | sha256sum',
      ],
      run: (context, { dryRun }, code, pin) =>
        context.withApi(async (api) => {
          if (!/^[0-9a-f]{64}$/i.test(pin ?? ''))
            throw usage('the key is named by its SHA-256: 64 digits from 0 to 9 and a to f');
          const path = `/sites/${encodeURIComponent(code)}/pin`;
          const done = await api.send<{ code: string; pin: string }>('PUT', path, { pin: pin.toLowerCase() }, { dryRun });
          if (context.json) printJson(done);
          else printDone(`The line to ${done.code} takes the TLS key ${done.pin}, and no other.`, dryRun);
          return EXIT.ok;
        }),
    })
    .option(...DRY_RUN);
}

function removeVerb(verbs: Verbs, site: Command): void {
  verbs
    .add<{ dryRun?: boolean }>(site, {
      name: 'remove <code>',
      does: 'remove a child: nothing that it sends is taken any more; it goes on alone',
      examples: ['pushpoint site remove S01 --data ./p01'],
      run: (context, { dryRun }, code) =>
        context.withApi(async (api) => {
          const path = `/sites/${encodeURIComponent(code)}`;
          const removed = await api.send<{ code: string }>('DELETE', path, undefined, { dryRun });
          const left =
            (await api.get<{ items: unknown[] }>(`/boundaries?site=${encodeURIComponent(removed.code)}`)).items.length > 0;
          if (context.json) printJson(removed);
          else printDone(`Site ${removed.code} is removed; what it sends from now on is refused.`, dryRun);
          if (left && !context.json)
            note(
              `Its boundaries are kept and assign nobody any more; machines that it had stay with it until device reassign: pushpoint boundary list --site ${removed.code}, pushpoint device reassign --all`,
            );
          return EXIT.ok;
        }),
    })
    .option(...DRY_RUN);
}
