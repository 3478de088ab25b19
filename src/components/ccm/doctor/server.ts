import { PushpointError } from '#base/errors';
import { findingOf, type About, type Finding, type Findings } from './findings.ts';
import { examineLines } from './lines.ts';
import type { ServerParts } from './parts.ts';
import { pointFinding } from './points.ts';

const about = (name: string, tried: string): About => ({ group: 'site', name, tried });

/** A clock that differs by so much from the database's makes leases and tokens wrong. */
const SKEW_WARN_MS = 2_000;
const SKEW_BAD_MS = 30_000;
/** A CCR that is due is taken up in seconds; one that waits so long waits for something else. */
const QUEUE_MS = 10 * 60_000;
/** No attempt takes so long: its process is gone, or hangs. */
const STUCK_MS = 15 * 60_000;
const MOST_STUCK = 200;

/** Server examines the site server itself: its machine, its database, what a push needs of it, and whether its work goes on. */
export class Server {
  readonly #parts: ServerParts;

  constructor(parts: ServerParts) {
    this.#parts = parts;
  }

  /** examine does all checks; of a site that nobody serves, those of processes that would have to run are left out. */
  async examine(
    findings: Findings,
    { isServed = true, signal }: { isServed?: boolean; signal?: AbortSignal } = {},
  ): Promise<void> {
    findings.add(await this.#parts.local());
    const up = await findings.look(about('database', 'a query to the database'), () => this.#database());
    if (!up) return findings.skip([about('site', 'everything that stands in the database')], 'the database does not answer');
    await findings.look(about('clock', 'our clock against that of the database'), () => this.#clock());
    if (isServed) await findings.look(about('workers', 'processes that work CCRs off'), () => this.#workers());
    await findings.look(about('queue', 'since when the CCR that is due the longest is due'), () => this.#queue());
    await findings.look(about('stuck', 'CCRs that are being worked for too long'), () => this.#stuck());
    await findings.look(about('accounts', 'push accounts'), () => this.#accounts());
    await findings.look(about('packages', 'packages, and whether the bytes of their files are what they were'), () =>
      this.#packages(),
    );
    if (isServed) await this.#points(findings, signal);
    else findings.skip([about('management-point', 'a real request to the management point')], 'the site server does not run');
    await examineLines(findings, this.#parts.link, this.#parts.clock);
    await findings.look(about('settings', 'settings that hold work back'), () => this.#settings());
  }

  async #database(): Promise<Finding> {
    const { database, clock } = this.#parts;
    const from = clock.monotonic();
    const [row] = await database.query<{ version: string }>(`select current_setting('server_version') as version`);
    const { open, idle, waiting } = database.connections();
    const ms = Math.max(1, Math.round(clock.monotonic() - from));
    return {
      found: `PostgreSQL ${row!.version} (${database.kind}) answered within ${ms} ms; ${open} connections, ${idle} of them idle, ${waiting} waited for`,
    };
  }

  async #clock(): Promise<Finding> {
    const { database, clock } = this.#parts;
    const before = clock.now().getTime();
    const [row] = await database.query<{ at: Date }>('select clock_timestamp() as at');
    const half = (clock.now().getTime() - before) / 2;
    const off = row!.at.getTime() - (before + half);
    if (Math.abs(off) < SKEW_WARN_MS + half) return { found: 'they agree' };
    return {
      verdict: Math.abs(off) < SKEW_BAD_MS ? 'warning' : 'problem',
      found: `the database is ${Math.abs(Math.round(off / 1000))} s ${off > 0 ? 'ahead' : 'behind'}`,
      cause: 'One of the two machines has no source of time.',
      remedy: 'Let both take their time from the same server (chrony, systemd-timesyncd, the domain).',
    };
  }

  async #workers(): Promise<Finding> {
    const { workers, busy } = await this.#parts.ccr.claims.queue();
    if (workers > 0) return { found: `${workers === 1 ? 'one process' : `${workers} processes`}, ${busy} CCRs under way` };
    return {
      verdict: 'problem',
      found: 'no process works CCRs off',
      cause: 'No process of this site runs the role ccm.',
      remedy: 'pushpoint up on the data folder; with --roles, ccm must be among them.',
    };
  }

  async #queue(): Promise<Finding> {
    const { dueSince } = await this.#parts.ccr.claims.queue();
    const late = dueSince === undefined ? 0 : this.#parts.clock.now().getTime() - dueSince.getTime();
    if (late <= 0) return { found: 'none is due' };
    const found = `a CCR is due for ${Math.round(late / 1000)} s`;
    if (late < QUEUE_MS) return { found };
    const { held } = (await this.#parts.site.here()).settings.ccr;
    return {
      verdict: 'warning',
      found,
      cause: held
        ? 'The site is paused: no new attempt begins (pushpoint ccr pause --all, or the setting ccr.held).'
        : 'More is due than is worked at a time, all attempts of one subnet or account are taken, or the process hangs.',
      remedy: held
        ? 'pushpoint ccr resume --all'
        : 'Look at pushpoint ccr list --state processing and at ccr.concurrency, ccr.perSubnet, ccr.perAccount; add a process with --roles ccm.',
    };
  }

  async #stuck(): Promise<Finding> {
    const now = this.#parts.clock.now().getTime();
    const { items } = await this.#parts.ccr.list({ state: 'processing', limit: MOST_STUCK });
    const stuck = items.filter(({ lastAttemptAt }) => lastAttemptAt !== undefined && now - lastAttemptAt.getTime() > STUCK_MS);
    if (stuck.length === 0) return { found: 'none' };
    return {
      verdict: 'warning',
      found: `${stuck.length === 1 ? 'one CCR' : `${stuck.length} CCRs`}: ${stuck
        .slice(0, 5)
        .map(({ name }) => name)
        .join(', ')}${stuck.length > 5 ? ' …' : ''}`,
      cause: 'The process that works them hangs, or its clock was set.',
      remedy:
        'Look into logs/pushpoint.log; pushpoint ccr cancel NAME ends one. After a restart they are taken up again by themselves.',
    };
  }

  async #accounts(): Promise<Finding> {
    const all = await this.#parts.account.list();
    if (all.length === 0)
      return {
        verdict: 'problem',
        found: 'there is no push account',
        cause: 'Without a push account every CCR waits at logon.',
        remedy: "pushpoint account add NAME --username 'DOMAIN\\user' --password-file FILE",
      };
    const stopped = all.filter(({ state }) => state === 'stopped');
    if (stopped.length > 0)
      return {
        verdict: 'problem',
        found: stopped
          .map(
            ({ name, stopReason, stoppedAt }) =>
              `${name} is stopped since ${stoppedAt?.toISOString() ?? 'a while'}: ${stopReason ?? 'no reason'}`,
          )
          .join('; '),
        cause:
          'Its password is wrong, or it is locked, disabled or expired; it is kept away from all machines so that it is not locked out.',
        remedy: `Correct it, then pushpoint account resume ${stopped[0]!.name} --password-file FILE`,
      };
    const fresh = all.filter(({ state }) => state === 'unproven');
    if (fresh.length > 0)
      return {
        verdict: 'warning',
        found: `${fresh.map(({ name }) => name).join(', ')}: never worked on any machine since it was added or changed`,
        cause: 'Nothing has been pushed with it yet; until it has worked once it is tried on one machine at a time.',
        remedy: 'pushpoint doctor HOST with a machine of its scope proves it without installing.',
      };
    return { found: `${all.length === 1 ? 'one' : all.length}, all of them have worked` };
  }

  async #packages(): Promise<Finding> {
    const all = await this.#parts.package.list();
    if (!all.some(({ platform }) => platform === 'windows'))
      return {
        verdict: 'problem',
        found: 'there is no package for Windows',
        cause: 'A push has nothing to lay on a machine.',
        remedy: 'npm run native and start the site again, or pushpoint package add FILE.json',
      };
    for (const { name, files } of all)
      for (const file of files)
        try {
          await this.#parts.content.check(file.sha256);
        } catch (error) {
          if (!(error instanceof PushpointError)) throw error;
          const finding = findingOf(error);
          return { ...finding, found: `${name}, file ${file.name}: ${finding.found}` };
        }
    return { found: all.map(({ name, version }) => `${name} ${version}`).join(', ') };
  }

  async #points(findings: Findings, signal: AbortSignal | undefined): Promise<void> {
    const { site, network, clock } = this.#parts;
    const here = await site.here();
    const points = (await site.points(here.code)).filter(({ kind, on }) => kind === 'mp' && on);
    for (const point of points)
      await findings.look(about('management-point', 'a real request to the management point, at the address clients get'), () =>
        pointFinding(
          network,
          clock,
          { address: point.address, pins: point.pin === undefined ? [] : [point.pin] },
          { loopbackIsFine: false, signal },
        ),
      );
    if (points.length > 0) return;
    await findings.look(about('management-point', 'the management point of the site'), async () =>
      here.kind === 'secondary'
        ? { found: `none here; clients use those of site ${here.parent ?? 'the parent'}` }
        : {
            verdict: 'problem',
            found: 'no management point is on',
            cause: 'Clients would find no files and no site.',
            remedy: 'pushpoint point set mp --address http://NAME-OF-THIS-SERVER:PORT',
          },
    );
  }

  async #settings(): Promise<Finding> {
    const { settings } = await this.#parts.site.here();
    if (settings.ccr.held)
      return {
        verdict: 'warning',
        found: 'the site is paused (ccr.held is on): no CCR is taken up',
        cause: 'Somebody stopped all new attempts with pushpoint ccr pause --all, or with that setting.',
        remedy: 'pushpoint ccr resume --all',
      };
    return { found: `none; site-wide push is ${settings.push.enabled ? 'on' : 'off'}` };
  }
}
