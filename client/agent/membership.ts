import { AssignmentFailed, assign, type Assigned } from './assignment.ts';
import { publishedPoints, Unheard } from '#client/contact';
import { Reporter, type ReportFrom } from '#client/report';
import type { DeploymentState } from '#messages';
import { askLocation, type Sources } from './location.ts';
import { anchors, fallbackPoints, provesSite, refreshChoice, type AgentParts } from './parts.ts';

/** After a failed assignment it is tried again (facts E). */
export const ASSIGN_AGAIN_MS = 10 * 60_000;

/**
 * Membership is which site this client belongs to. Once assigned it stays assigned, wherever the machine goes; only an administrator changes
 * that: by an installation that names another site, or by policy. A client without a site stays installed and asks again every ten minutes.
 */
export class Membership {
  readonly #parts: AgentParts;

  constructor(parts: AgentParts) {
    this.#parts = parts;
  }

  /** wanted is what the installation asks for. */
  get wanted(): string {
    const { properties, tcf } = this.#parts.config;
    return properties.site ?? tcf.site;
  }

  get isAssigned(): boolean {
    return this.#parts.identity.memory.assignedAt !== undefined;
  }

  /** isDue tells whether the installation asks for another site than the one this client has. */
  get isDue(): boolean {
    const { memory } = this.#parts.identity;
    if (!this.isAssigned) return true;
    if (this.wanted === memory.wanted) return false;
    // AUTO is for those who have no site yet, unless it is said otherwise.
    return this.wanted.toUpperCase() !== 'AUTO' || this.#parts.config.properties.reassign;
  }

  /** assign finds the site and remembers it; gives why there is none, of which the site is told where it can be. */
  async assign(): Promise<AssignmentFailed | undefined> {
    const { host, logs, config, contact, identity } = this.#parts;
    const { wanted } = this;
    logs.location.info(`Site assignment begins, site code ${wanted}`);
    if (identity.memory.toldState === undefined) await this.tell(500);
    try {
      const found = await assign(host, logs.location, contact, {
        wanted,
        sources: await this.#sources(),
        product: config.product,
      });
      await this.take(found, wanted);
      return undefined;
    } catch (error) {
      host.signal.throwIfAborted();
      if (!(error instanceof AssignmentFailed)) {
        await this.failed(601, error instanceof Error ? error.message : String(error));
        throw error;
      }
      await this.failed(error.state, error.message);
      return error;
    }
  }

  /** take makes a site the one of this client. */
  async take(found: Assigned, wanted: string): Promise<void> {
    const { host, logs, identity } = this.#parts;
    const isOther = identity.memory.site !== undefined && identity.memory.site !== found.site;
    await identity.remember({
      wanted,
      site: found.site,
      siteVersion: found.siteVersion,
      assignedAt: host.clock.now().toISOString(),
      managementPoints: found.managementPoints,
      ...(found.fallbackStatusPoint !== undefined && { fallbackStatusPoint: found.fallbackStatusPoint }),
      ...(isOther && { proxyPoints: undefined, localPoints: undefined, policyRevision: undefined, registeredAt: undefined }),
    });
    refreshChoice(this.#parts);
    logs.location.info(`Assigned to site ${found.site}`);
  }

  /** failed tells that there is no site, once as long as the reason stays the same. */
  async failed(stateId: DeploymentState, why: string): Promise<void> {
    const { host, logs, state } = this.#parts;
    logs.location.error(`Site assignment failed, state ${stateId}: ${why}`);
    const at = host.clock.now().toISOString();
    const assignment = { wanted: this.wanted, stateId, why: why.slice(0, 1024), at };
    await state.tell({ assignment, lastError: why, ...(!this.isAssigned && { state: 'unassigned' as const }) });
    await this.tell(stateId, why);
  }

  /** succeeded tells that the site has this client. */
  async succeeded(): Promise<void> {
    const { host, logs, state } = this.#parts;
    if (this.#parts.identity.memory.toldState === 700) return;
    logs.location.info('Site assignment succeeded');
    await state.tell({ assignment: { wanted: this.wanted, stateId: 700, at: host.clock.now().toISOString() } });
    await this.tell(700);
  }

  /** tell sends a state of the assignment; messages of one assignment have one TopicId. */
  async tell(stateId: DeploymentState, detail?: string): Promise<void> {
    const { host, logs, identity } = this.#parts;
    const { memory } = identity;
    if (memory.toldState === stateId) return;
    const topicId = (stateId === 500 ? undefined : memory.topicId) ?? host.random.uuid();
    // A disk without room is a reason to say something.
    await identity.note({ toldState: stateId, topicId });
    await new Reporter(host, logs.state, this.#from(topicId)).send(stateId, detail === undefined ? {} : { detail });
  }

  #from(topicId: string): ReportFrom {
    const { config, identity, choice } = this.#parts;
    const { guid, registeredAt } = identity.memory;
    // One that belongs to no site yet tells which one it was to belong to, so that somebody there finds it.
    const site = [identity.memory.site, this.wanted, config.tcf.site].find(
      (code) => code !== undefined && /^[A-Z0-9]{3}$/.test(code),
    );
    const pins = config.tcf.certificatePins;
    return {
      ...(site !== undefined && { site }),
      clientVersion: config.version,
      managementPoints: choice.forMessages(),
      fallbackStatusPoints: fallbackPoints(this.#parts),
      ...(pins !== undefined && { pins }),
      proves: (point) => provesSite(this.#parts, point),
      ...(guid !== undefined && { guid }),
      ...(guid !== undefined && registeredAt !== undefined && { signer: { client: guid, privateKey: identity.privateKey } }),
      topicId,
    };
  }

  /** sources are, in their order, the management points that are known, those that DNS names for the site, and the locator points. */
  async #sources(): Promise<Sources> {
    const { host, config, identity } = this.#parts;
    const published = await publishedPoints(host, this.wanted, config.properties.dnsSuffix);
    const known = [...anchors(this.#parts), ...(identity.memory.managementPoints ?? []), ...published];
    const managementPoints = [...new Set(known)];
    return { managementPoints, locators: config.properties.locators };
  }

  /**
   * locate learns where the machine is now: in the boundaries of a secondary of its site, whose proxy management points then come first, or
   * in those of another primary, whose management points give content.
   */
  async locate(): Promise<boolean> {
    const { host, logs, identity, contact, choice, config } = this.#parts;
    const sources = { managementPoints: choice.forMessages(), locators: config.properties.locators };
    const location = await askLocation(host, contact, sources);
    if (location instanceof Unheard) {
      logs.services.warn('Nobody told where this machine is; what was known of management points stays');
      return false;
    }
    const isHome = location.site !== undefined && location.site === identity.memory.site;
    await identity.note({
      proxyPoints: isHome ? location.proxyManagementPoints : [],
      localPoints: isHome || location.site === undefined ? [] : location.managementPoints,
      ...(isHome && location.fallbackStatusPoint !== undefined && { fallbackStatusPoint: location.fallbackStatusPoint }),
      ...(isHome && location.managementPoints.length > 0 && { managementPoints: location.managementPoints }),
    });
    refreshChoice(this.#parts);
    return true;
  }
}
