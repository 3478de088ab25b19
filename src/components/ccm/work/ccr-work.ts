import { PushpointError, raise } from '#base/errors';
import { exhausted, type Ccr, type Claimed } from '#records/ccr';
import { clientSiteOf, excludedBy, type Site } from '#records/site';
import { Gatherer } from '#store/database';
import { attempt, type AttemptResult } from '../attempt/attempt.ts';
import type { AttemptContext, Network, Push } from '../attempt/context.ts';
import { osVersion, type Facts } from '../attempt/facts.ts';
import { wantedOf } from '../attempt/identity.ts';
import type { Stop } from '../attempt/interrupted.ts';
import { failure, Timeline } from '../attempt/timeline.ts';
import type { Journal } from '../journal.ts';
import { PushAccounts } from './accounts.ts';
import { isOfTheDatabase, type Outcomes } from './outcome.ts';
import type { CcmParts } from './parts.ts';
import type { Slot } from './slots.ts';
import type { Surroundings } from './surroundings.ts';
import { nextSlot, reportedIn, Verification } from './verification.ts';

const DIALECTS: Record<number, string> = { 0x202: '2.0.2', 0x210: '2.1', 0x300: '3.0', 0x302: '3.0.2', 0x311: '3.1.1' };

/** Going is one claimed CCR that is worked here. */
export interface Going {
  claimed: Claimed;
  stop: Stop;
  journal: Journal;
  slot: Slot;
}

/** slotted lets an attempt go on to a machine that answered its probe once it has a slot. */
function slotted(network: Network, slot: Slot): Network {
  return {
    ...network,
    async probe(options) {
      const probed = await network.probe(options);
      await slot.take();
      return probed;
    },
  };
}

/** CcrWork does one claimed CCR: an attempt or a verification, and what follows from it. */
export class CcrWork {
  readonly #parts: CcmParts;
  readonly #surroundings: Surroundings;
  readonly #outcomes: Outcomes;
  readonly #accounts: PushAccounts;
  readonly #verification: Verification;
  readonly #heard: Gatherer<{ resourceId: number; since: Date }, boolean>;

  constructor(parts: CcmParts, surroundings: Surroundings, outcomes: Outcomes) {
    this.#parts = parts;
    this.#surroundings = surroundings;
    this.#outcomes = outcomes;
    this.#heard = new Gatherer(async (many) => {
      const first = Math.min(...many.map(({ since }) => since.getTime()));
      const ids = many.map(({ resourceId }) => resourceId);
      const heard = await parts.client.seenSince(ids, new Date(first));
      return ids.map((id) => heard.has(id));
    });
    this.#accounts = new PushAccounts(parts);
    this.#verification = new Verification(parts, outcomes);
  }

  /** run works a claimed CCR to an outcome. It throws only where not even that can be written: then nobody has the CCR any more. */
  async run(going: Going): Promise<void> {
    const { claimed, journal } = going;
    const { site, hasPoint } = await this.#surroundings.here();
    try {
      await this.#work(going, site, hasPoint);
    } catch (error) {
      await this.#broken(claimed, error, site, journal);
    }
  }

  /**
   * What comes here is no answer of the machine but a failure of our own. It counts as an attempt as any other, so that it has its hour and
   * its end, and stands in the timeline by name; where it came from stands in the log only.
   */
  async #broken(claimed: Claimed, error: unknown, site: Site, journal: Journal): Promise<void> {
    const { ccr: record, clock, log } = this.#parts;
    const { ccr, purpose } = claimed;
    if (isOfTheDatabase(error)) throw error;
    const known = failure(error, purpose === 'verify' ? 'verify' : 'decide');
    log.error('working a CCR failed', { machine: ccr.name, purpose, error });
    // A step that the database does not take would take the outcome down with it.
    const timeline = record.claims.attempt(claimed);
    await this.#parts.ccr.claims.flush().catch(() => timeline.take());
    const now = clock.now();
    const { code, win32, message: detail } = known;
    timeline.step({
      name: purpose === 'verify' ? 'verify' : 'decide',
      outcome: 'failed',
      startedAt: now,
      durationMs: 0,
      detail,
      code,
      win32,
    });
    journal.said(detail);
    if (purpose === 'verify' && !exhausted(ccr, now, site.settings.ccr))
      await record.claims.requeueVerify(claimed, new Date(now.getTime() + site.settings.ccr.retryMinutes * 60_000), known);
    else await this.#outcomes.ended(claimed, known, site.settings.ccr);
  }

  async #work(going: Going, site: Site, hasPoint: boolean): Promise<void> {
    const { claimed, journal } = going;
    const settings = site.settings.ccr;
    if (claimed.purpose === 'verify') {
      await this.#verification.run(claimed, settings, async () =>
        this.#context(going, site, await this.#surroundings.pushFor(claimed.ccr)),
      );
      return;
    }
    let push: Push;
    try {
      await this.#notExcluded(claimed, site);
      // What is missing at the site is known before any machine is bothered (facts B2, 3).
      if (!hasPoint && !claimed.ccr.inspectOnly) throw raise('PP_PUSH_NO_MANAGEMENT_POINT', { site: site.code });
      push = await this.#surroundings.pushFor(claimed.ccr);
      if (claimed.ccr.uninstall && !/^ccmsetup\.exe$/i.test(push.bootstrap.file))
        throw raise('PP_PUSH_NO_UNINSTALL', { package: push.name });
    } catch (error) {
      if (!(error instanceof PushpointError)) throw error;
      await this.#notReady(claimed, error, site, journal);
      return;
    }
    const proven = await this.#hadStarted(claimed);
    if (proven !== undefined && !(await this.#leftLock(claimed))) return this.#proven(claimed, proven);
    const result = await attempt(await this.#context(going, site, push, proven));
    // The lock may stay where the machine cannot be reached any more; it is stale soon. The push has succeeded either way.
    if (proven !== undefined && result.kind !== 'interrupted') return this.#proven(claimed, proven);
    await this.#settle(claimed, result, site, journal);
  }

  /** Never means by none of the names it is known by, the one discovery has now among them. */
  async #notExcluded({ ccr }: Claimed, site: Site): Promise<void> {
    if (site.settings.push.exclude.length === 0) return;
    const { name, domain, resourceId, resourceNames } = ccr;
    const device = resourceId === undefined ? undefined : await this.#parts.resource.byId(resourceId);
    const pattern = excludedBy(site.settings, {
      name,
      domain,
      others: [...resourceNames, ...(device?.fqdn ? [device.fqdn] : [])],
    });
    if (pattern !== undefined) throw raise('PP_PUSH_EXCLUDED', { machine: name, pattern });
  }

  /** A process that died after the start may have left a CCR whose client has long reported in: then nothing is to be installed. */
  async #hadStarted(claimed: Claimed): Promise<string | undefined> {
    const { client } = this.#parts;
    const since = claimed.ccr.retryIntervalStart;
    if (claimed.ccr.attempts < 2 || since === undefined || claimed.ccr.inspectOnly || claimed.ccr.uninstall) return undefined;
    const found = await client.since(claimed.ccr.resourceId ?? claimed.ccr, since);
    if (found?.tokenId === undefined || (await client.tokenKey(found.tokenId))?.ccrId !== claimed.ccr.id) return undefined;
    return `client ${found.guid} reported in at ${found.lastSeenAt.toISOString()} with the token of this CCR`;
  }

  /** leftLock tells whether an attempt was cut that may have taken the lock, and none after it has removed it. */
  async #leftLock({ ccr }: Claimed): Promise<boolean> {
    const [, ...earlier] = (await this.#parts.ccr.showId(ccr.id))?.history ?? [];
    const last = earlier.find(
      ({ outcome, steps }) => outcome === 'interrupted' || steps.some((step) => step.name === 'release' && step.outcome === 'ok'),
    );
    return last !== undefined && !last.steps.some((step) => step.name === 'release' && step.outcome === 'ok');
  }

  async #proven(claimed: Claimed, proof: string): Promise<void> {
    const { ccr, clock } = this.#parts;
    ccr.claims.attempt(claimed).step({ name: 'verify', outcome: 'ok', startedAt: clock.now(), durationMs: 0, detail: proof });
    await ccr.claims.complete(claimed, proof);
  }

  async #notReady(claimed: Claimed, error: PushpointError, site: Site, journal: Journal): Promise<void> {
    const { ccr, clock } = this.#parts;
    journal.begin();
    journal.said(error.message);
    journal.end();
    ccr.claims.attempt(claimed).step({
      name: 'decide',
      outcome: error.again === 'never' ? 'skipped' : 'failed',
      startedAt: clock.now(),
      durationMs: 0,
      detail: error.message,
      code: error.code,
      win32: error.win32,
    });
    await this.#outcomes.ended(claimed, error, site.settings.ccr);
  }

  async #settle(claimed: Claimed, result: AttemptResult, site: Site, journal: Journal): Promise<void> {
    const { ccr, clock } = this.#parts;
    if ('facts' in result && result.facts) await this.#observe(claimed, result.facts);
    switch (result.kind) {
      case 'started': {
        const verifyAt = nextSlot(result.startedAt, clock.now(), site.settings.ccr.verifyMinutes);
        journal.stored('Retry');
        if (!(await ccr.claims.started(claimed, { startedAt: result.startedAt, verifyAt }))) return;
        // The client may have reported in while the start was still being watched: then nobody will announce it again.
        if (await this.#reported(claimed.ccr, result.startedAt)) await ccr.wake({ ids: [claimed.ccr.id] });
        return;
      }
      case 'complete':
        await ccr.claims.complete(claimed, result.proof);
        return;
      case 'reported':
        await ccr.claims.complete(claimed, `inspected: ${result.found}`);
        return;
      case 'ended':
        if (result.error.again !== 'never') journal.stored('Retry');
        await this.#outcomes.ended(claimed, result.error, site.settings.ccr, this.#lockEnds(result.error, site));
        return;
      case 'interrupted':
        // Given back if it is still ours, as when the process stops; refused by the fence if somebody cancelled or took it.
        await ccr.claims.release(claimed);
    }
  }

  /** Mostly nothing was heard yet, which one look tells for many. */
  async #reported(ccr: Ccr, since: Date): Promise<boolean> {
    const { resourceId } = ccr;
    if (resourceId !== undefined && !(await this.#heard.ask({ resourceId, since }))) return false;
    return (await reportedIn(this.#parts.client, ccr, since)) !== undefined;
  }

  /** Another site's lock is gone, or stale, when its time is over; no need to wait for the hour. */
  #lockEnds(error: PushpointError, site: Site): Date | undefined {
    if (error.code !== 'PP_TARGET_LOCKED') return undefined;
    return new Date(this.#parts.clock.now().getTime() + site.settings.ccr.lockMinutes * 60_000 + 5_000);
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

  async #context(going: Going, site: Site, push: Push, proven?: string): Promise<AttemptContext> {
    const { claimed, stop, journal } = going;
    const { ccr: record, network, clock, random, log, client } = this.#parts;
    const { ccr } = claimed;
    const timeline = record.claims.attempt(claimed);
    // Discovery may know more by now than when the CCR was made.
    const device = ccr.resourceId === undefined ? undefined : await this.#parts.resource.byId(ccr.resourceId);
    return {
      ccr,
      fence: claimed.fence,
      wanted: wantedOf(ccr.name, ccr.domain, [...ccr.resourceNames, ...(device?.fqdn ? [device.fqdn] : [])]),
      addresses: [...new Set([...(device?.addresses ?? []), ...ccr.addresses])],
      port: device?.smbPort ?? ccr.smbPort ?? 445,
      site: site.code,
      clientSite: clientSiteOf(site),
      settings: site.settings.ccr,
      push,
      proven,
      network: slotted(network, going.slot),
      accounts: this.#accounts.within(claimed, site.settings.ccr.perAccount),
      clock,
      random,
      log: log.with({ machine: ccr.name }),
      journal,
      timeline: new Timeline(clock, (step) => timeline.step(step)),
      stop,
      stillOurs: () => record.claims.isHeld(claimed),
      mobileClient: () => this.#surroundings.mobileClientFor(ccr, device?.assignedSite),
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
