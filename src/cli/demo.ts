import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { raise } from '#base/errors';
import { createSite, isServing, makeFolder, readRunning, runSite, type RunningSite } from '#executive';
import type { Fleet } from '#lab/fleet';
import type { Api } from './api.ts';
import { isShown, playByHand, reportByHand } from './by-hand.ts';
import { unusable } from './input.ts';
import { startLab, untilSignal, type LabReady } from './lab.ts';
import { EXIT, note, print, printJson, shellWord, table } from './output.ts';
import { addPackage } from './package-file.ts';
import { codeText, explain, type CcrJson } from './timeline.ts';
import { isSettled, waitFor } from './wait.ts';
import { openApi } from './where.ts';

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

/** The demo stands in the checkout, or where this user may write when the checkout is somebody else's. */
function defaultFolder(): string {
  const own = join(CHECKOUT, '.data', 'demo');
  const there = [own, dirname(own), CHECKOUT].find((path) => existsSync(path))!;
  try {
    accessSync(there, constants.W_OK | constants.X_OK);
    return own;
  } catch {
    const other = join(mkdtempSync(join(tmpdir(), 'pushpoint-')), 'demo');
    note(`this user may not write to ${there}, so the demo stands in ${other}; remove it when it is not needed any more`);
    return other;
  }
}

/** A demo begins anew each time, so its folder is emptied; but only a folder that a demo made, and that no demo uses. */
async function freshFolder(wanted: string | undefined): Promise<string> {
  const folder = resolve(wanted ?? defaultFolder());
  try {
    if (existsSync(folder)) {
      if (!existsSync(join(folder, MARK)))
        throw raise('PP_CLI_FILE', { file: folder, why: 'it was not made by a demo, so it is not emptied for one' });
      const running = readRunning(join(folder, 'P01'));
      if (running && (await isServing(running)))
        throw raise('PP_CLI_FILE', {
          file: folder,
          why: `another demo (process ${running.pid}) runs there; --folder takes another one`,
        });
      rmSync(folder, { recursive: true, force: true });
    }
    makeFolder(folder, 0o711);
    writeFileSync(join(folder, MARK), 'made by pushpoint demo; the next demo removes this folder\n');
  } catch (cause) {
    throw unusable(folder, cause);
  }
  return folder;
}

/** prepare tells the site what an administrator would: where the MP is, which machines there are, which account, which package. */
async function prepare(api: Api, lab: LabReady, points: string): Promise<void> {
  await api.send('PUT', '/points/mp', { address: points });
  await api.text('/devices/import', new Uint8Array(readFileSync(lab.csv)), 'text/csv');
  const password = readFileSync(lab.passwordFile, 'utf8').trimEnd();
  await api.send('POST', '/accounts', { name: 'push', username: lab.username, password, scope: { kind: 'site' } });
  await addPackage(api, lab.package);
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
  explain(rows);
  print(`\n${rows.filter((c) => c.state === 'complete').length} of ${rows.length} machines have a client that reported in.`);
}

function nextSteps(data: string, labFolder: string, ccrs: CcrJson[]): void {
  const bad = ccrs.find((c) => c.state === 'retry')?.name;
  const good = (ccrs.find((c) => c.state === 'complete') ?? ccrs[0])?.name ?? 'NAME';
  const lines = [
    '',
    'The site goes on running. In another terminal, try:',
    `  export PUSHPOINT_DATA=${shellWord(data)}`,
    '  bin/pushpoint ccr list                  # every CCR, and why it is where it is',
    `  bin/pushpoint ccr show ${bad ?? good}          # what was tried on that machine, step by step`,
    `  bin/pushpoint push ${good} --force --wait   # install again over the client that is there`,
    bad && `  bin/pushpoint lab repair ${bad} --folder ${shellWord(labFolder)}   # take the trouble away …`,
    bad && `  bin/pushpoint push ${bad} --wait    # … and let it succeed`,
    '  bin/pushpoint client list               # the agents that reported in',
    '  bin/pushpoint fsp list --failed         # what went wrong where nobody could sign; also: report list',
    `  ls ${shellWord(join(data, 'inboxes/ccrretry.box'))}; tail ${shellWord(join(data, 'logs/ccm.log'))}`,
    'Ctrl-C ends the demo.',
  ];
  for (const line of lines) if (line !== undefined) print(line);
}

/** The parts of a demo that run; whatever happens, they are ended in the opposite order. */
interface Stage {
  wish: DemoWish;
  folder: string;
  fleet: Fleet;
  lab: LabReady;
  say: (line: string) => void;
  /** Resolves when somebody asks the demo to end. */
  ended: Promise<unknown>;
  hasEnded: () => boolean;
}

/** runDemo starts lab hosts and a site, pushes to all of them, tells what became of each, and stays up. */
export async function runDemo(wish: DemoWish): Promise<number> {
  const say = (line: string) => (wish.json ? undefined : print(line));
  const folder = await freshFolder(wish.folder);
  let asked = false;
  const ended = untilSignal().then(() => (asked = true));
  say(`1. starting ${wish.windows} lab hosts on loopback`);
  const lab = await startLab({ windows: wish.windows, mix: 'mixed', folder: join(folder, 'lab') });
  const data = join(folder, 'P01');
  try {
    say('2. making site P01 with its own PostgreSQL');
    await createSite({ code: 'P01', data, listen: '127.0.0.1:0', console: '127.0.0.1:0' });
    const site = await runSite({ data, signals: false });
    try {
      return await play({ wish, folder, fleet: lab.fleet, lab: lab.ready, say, ended, hasEnded: () => asked }, site);
    } finally {
      await site.stop();
    }
  } finally {
    await lab.stop();
  }
}

async function play(stage: Stage, site: RunningSite): Promise<number> {
  const { wish, folder, fleet, lab, say } = stage;
  const { data, points, console } = site.ready;
  const api = await openApi({ data });
  try {
    say(`3. importing the machines, the push account and the package; the management point is ${points}`);
    await prepare(api, lab, points!);
    say('4. pushing');
    const names = fleet.hosts.map(({ host }) => host.name);
    await api.send('POST', '/push', { names, includeDcs: true });
    const ccrs = await waitFor(api, names, PATIENCE_MS, stage.hasEnded);
    if (!wish.json) report(ccrs, fleet);
    if (!stage.hasEnded()) say('\n5. clients that nobody pushed: on six more machines somebody starts ccmsetup by hand');
    const byHand = stage.hasEnded()
      ? []
      : await playByHand({ api, fleet, lab, folder: join(folder, 'lab', 'by-hand'), points: points!, hasEnded: stage.hasEnded });
    if (wish.json) printJson({ data, points, console, ccrs, byHand });
    else reportByHand(byHand);
    const open = ccrs.filter((ccr) => !isSettled(ccr)).length;
    if (open > 0 && !stage.hasEnded()) note(`${open} machines had no verdict after ${PATIENCE_MS / 1000} s`);
    if (!wish.exit && !stage.hasEnded()) {
      if (!wish.json) nextSteps(data, join(folder, 'lab'), ccrs);
      await stage.ended;
    }
    return open > 0 || !byHand.every(isShown) ? EXIT.failed : EXIT.ok;
  } finally {
    await api.close();
  }
}
