import { PushpointError, raise } from '#base/errors';
import type { Claimed } from '#records/ccr';
import type { Site } from '#records/site';
import { attempt, type AttemptResult } from '../attempt/attempt.ts';
import type { AttemptContext, Push } from '../attempt/context.ts';
import { osVersion, type Facts } from '../attempt/facts.ts';
import type { Wanted } from '../attempt/identity.ts';
import type { Stop } from '../attempt/interrupted.ts';
import { Timeline } from '../attempt/timeline.ts';
import type { Journal } from '../journal.ts';
import { PushAccounts } from './accounts.ts';
import type { Outcomes } from './outcome.ts';
import type { CcmParts } from './parts.ts';
import type { Surroundings } from './surroundings.ts';
import { nextSlot, Verification } from './verification.ts';

const DIALECTS: Record<number, string> = { 0x202: '2.0.2', 0x210: '2.1', 0x300: '3.0', 0x302: '3.0.2', 0x311: '3.1.1' };

/** CcrWork does one claimed CCR: an attempt or a verification, and what follows from it. */
export class CcrWork {
  readonly #parts: CcmParts;
  readonly #surroundings: Surroundings;
  readonly #outcomes: Outcomes;
  readonly #accounts: PushAccounts;
  readonly #verification: Verification;

  constructor(parts: CcmParts, surroundings: Surroundings, outcomes: Outcomes) {
    this.#parts = parts;
    this.#surroundings = surroundings;
    this.#outcomes = outcomes;
    this.#accounts = new PushAccounts(parts);
    this.#verification = new Verification(parts, outcomes);
  }

  async run(claimed: Claimed, stop: Stop, journal: Journal): Promise<void> {
    const { site, points } = await this.#surroundings.here();
    const settings = site.settings.ccr;
    if (claimed.purpose === 'verify') {
      await this.#verification.run(claimed, settings, async () => this.#context(claimed, stop, journal, site, await this.#surroundings.pushFor(claimed.ccr)));
      return;
    }
    let push: Push;
    try {
      // What is missing at the site is known before any machine is bothered (facts B2, 3).
      if (points.length === 0 && !claimed.ccr.inspectOnly) throw raise('PP_PUSH_NO_MANAGEMENT_POINT', { site: site.code });
      push = await this.#surroundings.pushFor(claimed.ccr);
    } catch (error) {
      if (!(error instanceof PushpointError)) throw error;
      await this.#notReady(claimed, error, site, journal);
      return;
    }
    const result = await attempt(this.#context(claimed, stop, journal, site, push));
    await this.#settle(claimed, result, site, journal);
  }

  async #notReady(claimed: Claimed, error: PushpointError, site: Site, journal: Journal): Promise<void> {
    const { ccr, clock } = this.#parts;
    journal.begin();
    journal.said(error.message);
    journal.end();
    ccr.attempt(claimed).step({ name: 'decide', outcome: 'failed', startedAt: clock.now(), durationMs: 0, detail: error.message, code: error.code, win32: error.win32 });
    await this.#outcomes.ended(claimed, error, site.settings.ccr);
  }

  async #settle(claimed: Claimed, result: AttemptResult, site: Site, journal: Journal): Promise<void> {
    const { ccr, clock } = this.#parts;
    if ('facts' in result && result.facts) await this.#observe(claimed, result.facts);
    switch (result.kind) {
      case 'started': {
        const verifyAt = nextSlot(result.startedAt, clock.now(), site.settings.ccr.verifyMinutes);
        journal.stored('Retry');
        if (!(await ccr.started(claimed, { startedAt: result.startedAt, verifyAt }))) return;
        // The client may have reported in while the start was still being watched: then nobody will announce it again.
        const { resourceId, name, domain } = claimed.ccr;
        if (await this.#parts.client.since(resourceId ?? { name, domain }, result.startedAt)) await ccr.wake({ ids: [claimed.ccr.id] });
        return;
      }
      case 'complete':
        await ccr.complete(claimed, result.proof);
        return;
      case 'reported':
        await ccr.complete(claimed, `inspected: ${result.found}`);
        return;
      case 'ended':
        if (result.error.again !== 'never') journal.stored('Retry');
        await this.#outcomes.ended(claimed, result.error, site.settings.ccr);
        return;
      case 'interrupted':
        if (result.why === 'stopping') await ccr.release(claimed);
    }
  }

  /** What the machine said of itself is kept with its resource; a failure to keep it does not spoil the push. */
  async #observe({ ccr }: Claimed, { os, client }: Facts): Promise<void> {
    if (ccr.resourceId === undefined) return;
    const { resource, log } = this.#parts;
    try {
      await resource.observe(ccr.resourceId, {
        os: os.name,
        osVersion: osVersion(os),
        osBuild: os.build,
        type: os.type,
        architecture: os.architecture,
        clientVersion: client.installed ? (client.version ?? 'unknown') : null,
        clientSite: client.site,
      });
    } catch (error) {
      log.warn('what was seen on a machine could not be kept', { machine: ccr.name, error });
    }
  }

  #context(claimed: Claimed, stop: Stop, journal: Journal, site: Site, push: Push): AttemptContext {
    const { ccr: record, network, clock, random, log, client } = this.#parts;
    const { ccr } = claimed;
    const timeline = record.attempt(claimed);
    return {
      ccr,
      fence: claimed.fence,
      wanted: wantedOf(ccr.name, ccr.domain, ccr.resourceNames),
      site: site.code,
      settings: site.settings.ccr,
      push,
      network,
      accounts: this.#accounts,
      clock,
      random,
      log: log.with({ machine: ccr.name }),
      journal,
      timeline: new Timeline(clock, (step) => timeline.step(step)),
      stop,
      mobileClient: () => this.#surroundings.mobileClientFor(ccr),
      tokenCcr: async (tokenId) => (await client.tokenKey(tokenId))?.ccrId,
      connected: (session, account) =>
        timeline.connected({
          account: account.name,
          dialect: DIALECTS[session.dialect] ?? session.dialect.toString(16),
          signing: session.signing,
          encryption: session.cipher,
        }),
    };
  }
}

function wantedOf(name: string, domain: string, others: readonly string[]): Wanted {
  const names = [name, ...(domain.includes('.') ? [`${name}.${domain}`] : []), ...others];
  return { name, ...(domain ? { domain } : {}), names: [...new Set(names)] };
}
