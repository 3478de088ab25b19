import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { raise } from '#base/errors';
import { createSite, runSite } from '#executive';
import type { Fleet } from '#lab/fleet';
import { openApi, type Api } from './api.ts';
import { startLab, untilSignal, type LabReady } from './lab.ts';
import { EXIT, print, printJson, table } from './output.ts';
import { codeText, type CcrJson } from './timeline.ts';
import { waitFor } from './wait.ts';

export interface DemoWish {
  windows: number;
  folder: string | undefined;
  exit: boolean;
  json: boolean;
}

const MARK = '.pushpoint-demo';
const CHECKOUT = fileURLToPath(new URL('../../', import.meta.url));
/** The demo waits this long for the first verdict on each machine. */
const PATIENCE_MS = 120_000;

/** A demo begins anew each time, so its folder is emptied; but only a folder that a demo made. */
function freshFolder(wanted: string | undefined): string {
  const folder = resolve(wanted ?? join(CHECKOUT, '.data', 'demo'));
  if (existsSync(folder)) {
    if (!existsSync(join(folder, MARK)))
      throw raise('PP_CLI_FILE', { file: folder, why: 'it was not made by a demo, so it is not emptied for one' });
    rmSync(folder, { recursive: true, force: true });
  }
  mkdirSync(folder, { recursive: true, mode: 0o711 });
  writeFileSync(join(folder, MARK), 'made by pushpoint demo; the next demo removes this folder\n');
  return folder;
}

/** prepare tells the site what an administrator would: where the MP is, which machines there are, which account, which package. */
async function prepare(api: Api, lab: LabReady, points: string): Promise<void> {
  await api.send('PUT', '/points/mp', { address: points });
  await api.text('/devices/import', new Uint8Array(readFileSync(lab.csv)), 'text/csv');
  const password = readFileSync(lab.passwordFile, 'utf8').trimEnd();
  await api.send('POST', '/accounts', { name: 'push', username: lab.username, password, scope: { kind: 'site' } });
  const definition = JSON.parse(readFileSync(lab.package, 'utf8')) as { bootstrap: { file: string }; payload: { file: string } };
  const files = [];
  for (const name of [definition.bootstrap.file, definition.payload.file]) {
    files.push({ ...(await api.upload<{ sha256: string; size: number }>('/content', join(dirname(lab.package), name))), name });
  }
  await api.send('POST', '/packages', { definition, files });
}

function report(ccrs: CcrJson[], fleet: Fleet): void {
  const trouble = new Map(fleet.hosts.map(({ host, trouble: what }) => [host.name, what]));
  const rows = [...ccrs].sort((a, b) => a.name.localeCompare(b.name));
  table(
    ['NAME', 'STATE', 'CODE', 'WHY', 'WHAT THE LAB DID TO IT'],
    rows.map((c) => [
      c.name,
      c.state,
      c.state === 'complete' ? '' : codeText(c),
      c.state === 'complete' ? '' : c.lastErrorText,
      trouble.get(c.name),
    ]),
  );
  const told = new Set<string>();
  for (const c of rows) {
    if (c.state === 'complete' || !c.lastError || !c.remedy || told.has(c.lastError)) continue;
    told.add(c.lastError);
    print(`${told.size === 1 ? '\n' : ''}${codeText(c)}: ${c.cause}\n  fix: ${c.remedy}`);
  }
}

function nextSteps(data: string, labFolder: string, ccrs: CcrJson[]): void {
  const bad = (ccrs.find((c) => c.state === 'retry') ?? ccrs[0])?.name ?? 'NAME';
  const good = (ccrs.find((c) => c.state === 'complete') ?? ccrs[0])?.name ?? 'NAME';
  const lines = [
    '',
    'The site goes on running. In another terminal, try:',
    `  export PUSHPOINT_DATA=${data}`,
    '  bin/pushpoint ccr list                  # every CCR, and why it is where it is',
    `  bin/pushpoint ccr show ${bad}          # what was tried on that machine, step by step`,
    `  bin/pushpoint push ${good} --force --wait   # install again over the client that is there`,
    `  bin/pushpoint lab repair ${bad} --folder ${labFolder}   # take the trouble away …`,
    `  bin/pushpoint ccr retry ${bad}         # … and let it succeed`,
    '  bin/pushpoint client list               # the agents that reported in',
    `  ls ${join(data, 'inboxes/ccrretry.box')}; tail ${join(data, 'logs/ccm.log')}`,
    'Ctrl-C ends the demo.',
  ];
  for (const line of lines) print(line);
}

/** runDemo starts lab hosts and a site, pushes to all of them, tells what became of each, and stays up. */
export async function runDemo(wish: DemoWish): Promise<number> {
  const say = (line: string) => (wish.json ? undefined : print(line));
  const folder = freshFolder(wish.folder);
  const data = join(folder, 'P01');
  say(`1. starting ${wish.windows} lab hosts on loopback`);
  const {
    fleet,
    ready: lab,
    stop,
  } = await startLab({
    windows: wish.windows,
    mix: 'mixed',
    folder: join(folder, 'lab'),
    port: undefined,
  });
  const ended = untilSignal();
  try {
    say('2. making site P01 with its own PostgreSQL');
    await createSite({ code: 'P01', data, listen: '127.0.0.1:0', console: '127.0.0.1:0' });
    const site = await runSite({ data, signals: false });
    const api = await openApi({ data });
    try {
      say(`3. importing the machines, the push account and the package; the management point is ${site.ready.points}`);
      await prepare(api, lab, site.ready.points!);
      say('4. pushing');
      const names = fleet.hosts.map(({ host }) => host.name);
      await api.send('POST', '/push', { names, includeDcs: true });
      const ccrs = await Promise.race([waitFor(api, names, PATIENCE_MS), ended.then(() => [])]);
      if (wish.json) printJson({ data, points: site.ready.points, console: site.ready.console, ccrs });
      else {
        report(ccrs, fleet);
        print(
          `\n${ccrs.filter((c) => c.state === 'complete').length} of ${names.length} machines have a client that reported in.`,
        );
      }
      if (!wish.exit && ccrs.length > 0) {
        if (!wish.json) nextSteps(data, join(folder, 'lab'), ccrs);
        await ended;
      }
    } finally {
      await api.close();
      await site.stop();
    }
  } finally {
    await stop();
  }
  return EXIT.ok;
}
