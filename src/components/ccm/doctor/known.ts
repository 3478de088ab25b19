import { raise } from '#base/errors';
import { isLive } from '#records/ccr';
import { excludedBy, pointsFor } from '#records/site';
import type { Stop } from '../attempt/interrupted.ts';
import type { PushAccount } from '../attempt/context.ts';
import type { Surroundings } from '../work/surroundings.ts';
import type { About, Finding, Findings } from './findings.ts';
import type { DoctorParts } from './parts.ts';
import type { Patient } from './patient.ts';
import { isLoopback, pointFinding } from './points.ts';

const about = (name: string, tried: string, failsAt?: string): About => ({ group: 'pre-install', name, tried, failsAt });

/** SiteFacts looks at what the site knows and has, before anybody is connected to: the first half of a troubleshooter's list. */
export class SiteFacts {
  readonly #parts: DoctorParts;
  readonly #surroundings: Surroundings;
  readonly #patient: Patient;
  readonly #stop: Stop;

  constructor(parts: DoctorParts, surroundings: Surroundings, patient: Patient, stop: Stop) {
    this.#stop = stop;
    this.#parts = parts;
    this.#surroundings = surroundings;
    this.#patient = patient;
  }

  /** examine does these checks; `accounts` are those that would be tried. */
  async examine(findings: Findings, accounts: readonly PushAccount[]): Promise<void> {
    await findings.look(about('known', 'what discovery knows of it', 'request'), async () => this.#known());
    await findings.look(about('assigned', 'which site its boundaries give it to', 'request'), async () => this.#assigned());
    await findings.look(about('site-wide-push', 'whether site-wide push takes it by itself'), () => this.#automatic());
    await findings.look(about('excluded', 'the setting push.exclude', 'decide'), async () => this.#excluded());
    await findings.look(about('ccr', 'its CCR'), async () => this.#ccr());
    await findings.look(about('management-point', 'the management point its client would use', 'decide'), () => this.#point());
    await findings.look(about('package', 'the package that would be pushed', 'decide'), () => this.#package());
    await findings.look(about('account', 'the push account that would be used', 'logon'), () => this.#account(accounts));
  }

  #known(): Finding {
    const { device, name } = this.#patient;
    if (!device)
      return {
        verdict: 'warning',
        found: `discovery does not know ${name}; its name is looked up in DNS`,
        remedy: `Import it (pushpoint device import FILE) or let it be discovered, so that the site knows its addresses.`,
      };
    const sources = device.sources.map(({ method, at }) => `${method} ${at.toISOString()}`).join(', ');
    if (!device.trusted)
      return {
        verdict: 'problem',
        found: `it is known only from what it says of itself (${sources})`,
        cause: 'No credential goes to a machine that no trusted source knows.',
        remedy: 'Import it (pushpoint device import FILE), or approve its client.',
      };
    return { found: `${device.type}, ${device.os ?? 'system not known yet'}, told by ${sources}` };
  }

  #assigned(): Finding {
    const { assigns, assignedSite, boundary, site, device, addresses } = this.#patient;
    if (!assigns) return { found: 'no site boundary is configured, so every machine counts as one of this site' };
    if (assignedSite === site.code) return { found: `site ${site.code}${boundary ? `, by ${boundary}` : ''}` };
    if (assignedSite !== undefined)
      return {
        verdict: 'problem',
        found: `it is assigned to site ${assignedSite}${boundary ? `, by ${boundary}` : ''}, and this is site ${site.code}`,
        cause: 'A site pushes to machines of its own boundaries.',
        remedy: `Push from site ${assignedSite}, or here with --include-unassigned.`,
      };
    const why = !device
      ? 'discovery does not know it'
      : addresses.length === 0
        ? 'no address of it is known'
        : `no site boundary holds ${addresses.slice(0, 4).join(', ')}`;
    return {
      verdict: 'problem',
      found: `it is assigned to no site, because ${why}`,
      cause: 'Boundaries say which machines belong to which site; the kind of boundary must match what discovery found out.',
      remedy: 'Add a boundary (pushpoint boundary add KIND:VALUE), or push with --include-unassigned.',
    };
  }

  async #automatic(): Promise<Finding> {
    const { device, site } = this.#patient;
    if (!device) return { found: 'no: discovery does not know it' };
    const { push, reason } = await this.#parts.discovery.explain(device);
    if (push) return { found: `yes: it ${reason}` };
    const settled = !site.settings.push.enabled || device.client.installed || /has a CCR/.test(reason);
    return { verdict: settled ? 'ok' : 'warning', found: `no: ${reason}` };
  }

  #excluded(): Finding {
    const { site, name, domain, wanted } = this.#patient;
    const pattern = excludedBy(site.settings, { name, domain, others: wanted.names });
    if (pattern !== undefined) throw raise('PP_PUSH_EXCLUDED', { machine: name, pattern });
    return { found: 'it is not on the list of machines that are never pushed to' };
  }

  async #ccr(): Promise<Finding> {
    const { ccr, site } = this.#patient;
    if (!ccr) return { found: 'none was ever made' };
    const last = ccr.lastErrorText ? `; last: ${ccr.lastErrorText}` : '';
    if (!isLive(ccr.state)) {
      const ended = ccr.finishedAt ? ` ${ccr.finishedAt.toISOString()}` : '';
      return { found: `none is live; the last one ended ${ccr.state}${ended}${ccr.state === 'complete' ? '' : last}` };
    }
    const next = ccr.nextAttemptAt ? `, next attempt ${ccr.nextAttemptAt.toISOString()}` : '';
    const found = `it is ${ccr.state} after ${ccr.attempts === 1 ? 'one attempt' : `${ccr.attempts} attempts`}${next}${last}`;
    if (ccr.state === 'paused') {
      // What paused it may be the limit of its wave, and no person.
      const wave = ccr.wave ? await this.#parts.ccr.waves.get(ccr.wave) : undefined;
      return wave?.stopReason
        ? {
            verdict: 'warning',
            found,
            cause: `Wave ${wave.id} was stopped: ${wave.stopReason}.`,
            remedy: `pushpoint ccr resume --wave ${wave.id}   (or this machine alone: pushpoint ccr resume ${ccr.name})`,
          }
        : { verdict: 'warning', found, cause: 'Somebody paused it.', remedy: `pushpoint ccr resume ${ccr.name}` };
    }
    if (site.settings.ccr.held)
      return {
        verdict: 'warning',
        found: `${found}; the site takes up no CCR at all`,
        cause: 'The site is paused, with pushpoint ccr pause --all or the setting ccr.held.',
        remedy: 'pushpoint ccr resume --all',
      };
    return { found };
  }

  async #point(): Promise<Finding> {
    const { here, assignedSite, site, addresses } = this.#patient;
    const points = pointsFor('mp', here.branch, assignedSite);
    const [best] = points;
    if (!best) throw raise('PP_PUSH_NO_MANAGEMENT_POINT', { site: site.code });
    const { network, clock } = this.#parts;
    const point = { address: best.address, pins: best.pin === undefined ? [] : [best.pin] };
    return pointFinding(network, clock, point, {
      loopbackIsFine: addresses.length > 0 && addresses.every(isLoopback),
      signal: this.#stop.hard,
    });
  }

  async #package(): Promise<Finding> {
    const chosen = await this.#surroundings.packageFor(this.#patient.wish);
    for (const { sha256 } of chosen.files) await this.#parts.content.check(sha256);
    const count = chosen.files.length;
    return {
      found: `${chosen.name} ${chosen.version}; ${count === 1 ? 'its file is' : `its ${count} files are`} there and whole`,
    };
  }

  async #account(accounts: readonly PushAccount[]): Promise<Finding> {
    const all = await this.#parts.account.list();
    const [first] = accounts;
    if (!first) {
      const stopped = all.filter(({ state }) => state === 'stopped');
      const detail = stopped.map(({ name, stopReason }) => `${name} is stopped: ${stopReason ?? 'no reason'}`).join('; ');
      throw raise('PP_PUSH_NO_ACCOUNT', { machine: this.#patient.name }, detail === '' ? {} : { detail });
    }
    const known = all.find(({ id }) => id === first.id);
    const others = accounts.slice(1).map(({ name }) => name);
    const found = `${first.name} (${first.username})${others.length ? `, then ${others.join(', ')}` : ''}`;
    if (known?.state !== 'unproven') return { found };
    return { found: `${found}; it has not worked on any machine yet` };
  }
}
