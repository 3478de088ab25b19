import { isCode, type Code, type PushpointError } from '#base/errors';
import { Unheard, saidNo, type Answer } from '#client/contact';
import { sayFarewell } from '#client/farewell';
import { layout } from '#client/host';
import { POLICY_PROOF, Policy, checked, policyProofHolds } from '#messages';
import { AssignmentFailed, assign } from './assignment.ts';

import type { Membership } from './membership.ts';
import { provesSite, refreshChoice, type AgentParts } from './parts.ts';
import { keepSecrets } from './secrets.ts';
import { startUninstall, startUpgrade } from './setup-run.ts';

const DEFAULT_POLICY_MINUTES = 60;
/** How long after each failed try of the same work the next comes, in hours; the last counts for all later ones. */
const AGAIN_HOURS = [1, 4, 24];

/** Outcome is what a policy led to: nothing to do with the loop, a new registration at another site, or a bootstrap that will stop us. */
export type PolicyOutcome = 'kept' | 'moved' | 'leaving';

/**
 * PolicyWork asks for the site's policy and does what it says: settings at once; then leaving for good, moving to another site, or another
 * version of the client. Those three are done only when it is certain that the policy comes from the site: it was proven with the key that
 * the push left here, or it came over TLS from a point that is known to be the site's. Otherwise anybody between client and site could make every client install what he likes.
 */
export class PolicyWork {
  readonly #parts: AgentParts;
  readonly #membership: Membership;

  constructor(parts: AgentParts, membership: Membership) {
    this.#parts = parts;
    this.#membership = membership;
  }

  /** intervalMs is how often the policy is asked for. */
  get intervalMs(): number {
    return (this.#parts.identity.memory.policyMinutes ?? DEFAULT_POLICY_MINUTES) * 60_000;
  }

  /** poll asks for the policy and does what is new in it. */
  async poll(): Promise<PolicyOutcome> {
    const { identity, contact, choice, state, host } = this.#parts;
    const { guid, policyRevision: etag, tried } = identity.memory;
    const final = (error: PushpointError) => saidNo(error, 'PP_CLIENT_UNKNOWN', 'PP_CLIENT_BLOCKED');
    // What was tried and did not come to its end is asked for again as a whole.
    // A trusted point that is asked because of the list shall say its own, not that the policy is the same.
    const known = tried === undefined && !choice.asksTrusted ? etag : undefined;
    const answer = await contact.ask(
      choice.forMessages(),
      {
        path: '/ccm_system/policy',
        signer: { client: guid!, privateKey: identity.privateKey },
        ...(known !== undefined && { etag: known }),
      },
      final,
    );
    await state.tell({ lastPolicyAt: host.clock.now().toISOString() });
    if (answer.unchanged) return 'kept';
    return this.#apply(checked(Policy, answer.value, 'policy'), answer);
  }

  async #apply(policy: Policy, answer: Answer): Promise<PolicyOutcome> {
    const { identity, logs } = this.#parts;
    if (identity.memory.site !== undefined && policy.site !== identity.memory.site) {
      logs.policy.warn(`${answer.url} gave the policy of site ${policy.site}; this client belongs to ${identity.memory.site}`);
      return 'kept';
    }
    logs.policy.info(`Policy ${policy.revision} of site ${policy.site}`);
    await this.#settings(policy);
    const isProven = await this.#isProven(answer);
    if (isProven) {
      await identity.remember({ provenPoints: policy.managementPoints });
      refreshChoice(this.#parts);
    }
    await this.#secrets(policy, isProven);
    const work = workOf(policy, this.#parts.config.version);
    // Whoever made up a policy under the revision of the site's must not keep the client from ever asking for that.
    const policyRevision = isProven || !(await this.#siteKey()) ? policy.revision : undefined;
    if (work === undefined) {
      await identity.remember({ policyRevision, tried: undefined });
      return 'kept';
    }
    if (!isProven) {
      logs.policy.error(`The policy asks to ${work}, and nothing proves that it comes from the site; it is not done`);
      await identity.remember({ policyRevision, tried: undefined });
      return 'kept';
    }
    if (!this.#mayTry(work, policy)) return 'kept';
    const { tried } = identity.memory;
    const times = tried?.what === work ? tried.times + 1 : 1;
    await identity.remember({ tried: { what: work, at: this.#parts.host.clock.now().toISOString(), times } });
    logs.policy.info(`The policy asks to ${work}`);
    return this.#do(policy, work);
  }

  async #settings(policy: Policy): Promise<void> {
    const { identity, logs, state, config } = this.#parts;
    const { approval, heartbeatMinutes, policyMinutes, logLevel, cacheMegabytes, fallbackStatusPoint, managementPoints } = policy;
    const { proxyPoints } = identity.memory;
    const assigned = managementPoints.filter((point) => !proxyPoints?.includes(point));
    await identity.remember({
      approval,
      heartbeatMinutes,
      policyMinutes,
      logLevel,
      cacheMegabytes,
      ...(fallbackStatusPoint !== undefined && { fallbackStatusPoint }),
      ...(assigned.length > 0 && { managementPoints: assigned }),
    });
    logs.setLevel(logLevel ?? config.properties.logLevel ?? 1);
    refreshChoice(this.#parts);
    await state.tell({});
  }

  async #isProven({ url, text, headers, nonce }: Answer): Promise<boolean> {
    if (provesSite(this.#parts, url)) return true;
    const key = await this.#siteKey();
    const proof = headers.get(POLICY_PROOF);
    return key !== undefined && proof !== null && policyProofHolds(key, nonce, text, proof);
  }

  /** Anybody can seal a text for a key that is public, so only a proven policy gives secrets, and only a proven one takes them away. */
  async #secrets(policy: Policy, isProven: boolean): Promise<void> {
    const { identity, logs, host } = this.#parts;
    const { guid } = identity.memory;
    if (isProven) return keepSecrets(host, logs.policy, { guid: guid!, privateKey: identity.privateKey }, policy);
    if (policy.secrets !== undefined)
      logs.policy.error('The policy has secrets, and nothing proves that it comes from the site; they are not kept');
  }

  #siteKey(): Promise<Uint8Array | undefined> {
    return this.#parts.host.readFile(layout.siteKey).catch(() => undefined);
  }

  #mayTry(work: string, { upgrade }: Policy): boolean {
    const now = this.#parts.contact.siteNow().getTime();
    if (upgrade?.notBefore !== undefined && work.startsWith('upgrade') && new Date(upgrade.notBefore).getTime() > now)
      return false;
    const { tried } = this.#parts.identity.memory;
    if (tried?.what !== work) return true;
    const hours = AGAIN_HOURS[Math.min(tried.times, AGAIN_HOURS.length) - 1]!;
    const since = this.#parts.host.clock.now().getTime() - new Date(tried.at).getTime();
    // A clock that was set back does not make a client wait for years.
    return since < 0 || since >= hours * 3_600_000;
  }

  async #do(policy: Policy, work: string): Promise<PolicyOutcome> {
    const { logs, host, state } = this.#parts;
    try {
      if (policy.uninstall) {
        await startUninstall(this.#parts);
        return 'leaving';
      }
      if (policy.migrate && policy.migrate.site !== this.#parts.identity.memory.site) return await this.#migrate(policy.migrate);
      await startUpgrade(this.#parts, policy.upgrade!);
      return 'leaving';
    } catch (error) {
      host.signal.throwIfAborted();
      const why = error instanceof Error ? error.message : String(error);
      logs.policy.error(`Could not ${work}: ${why}`);
      await state.tell({ lastError: why });
      return 'kept';
    }
  }

  /** migrate looks first whether the other site takes this client; only then it leaves the old one. */
  async #migrate({ site, managementPoints }: NonNullable<Policy['migrate']>): Promise<PolicyOutcome> {
    const { host, logs, contact, config, identity } = this.#parts;
    const sources = { managementPoints, locators: config.properties.locators };
    const found = await assign(host, logs.location, contact, { wanted: site, sources, product: config.product });
    if (found.site !== site) throw new AssignmentFailed(602, `${site} is no primary site`);
    await sayFarewell(this.#parts, this.#parts.choice.forMessages(), 'migrate').catch((error: unknown) =>
      logs.policy.warn(`The old site was not told: ${String(error)}`),
    );
    // What the old site gave is not the new one's to know of.
    for (const path of [layout.siteKey, layout.secrets]) await host.remove(path);
    await identity.remember({ tried: undefined, toldState: undefined, topicId: undefined, provenPoints: managementPoints });
    await this.#membership.take({ ...found, managementPoints }, this.#membership.wanted);
    return 'moved';
  }
}

/** workOf names what a policy asks for beside settings; undefined when it is so already. */
function workOf({ uninstall, migrate, upgrade, site }: Policy, version: string): string | undefined {
  if (uninstall) return 'uninstall this client';
  if (migrate && migrate.site !== site) return `move to site ${migrate.site}`;
  if (upgrade && upgrade.version !== version) return `upgrade to ${upgrade.version}`;
  return undefined;
}

/** isNoPolicy tells whether a management point has no policies at all, as one of an older release. */
export function isNoPolicy(error: unknown): boolean {
  const reasons = error instanceof Unheard ? error.reasons : [error];
  const codes: Code[] = ['PP_MP_NOT_HERE'];
  return reasons.some((reason) => isCode(reason, 'PP_CLIENT_MP_ANSWERED') && saidNo(reason, ...codes));
}
