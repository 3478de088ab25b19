import type { TargetHost } from '#client/host';
import type { Identity } from '#client/identity';
import { writeStatus, type AgentStatus } from './status.ts';
import type { AgentConfig } from './config.ts';

/** State is the agent's status, written down whenever it changes. */
export class State {
  readonly #host: TargetHost;
  readonly #identity: Identity;
  readonly #cache: number | undefined;
  #status: AgentStatus;

  constructor(host: TargetHost, identity: Identity, { version, product, properties }: AgentConfig) {
    this.#host = host;
    this.#cache = properties.cacheMegabytes;
    this.#identity = identity;
    const startedAt = host.clock.now().toISOString();
    this.#status = { state: 'starting', version, product, site: identity.memory.site ?? '', startedAt };
  }

  get startedAt(): string {
    return this.#status.startedAt!;
  }

  get current(): AgentStatus['state'] {
    return this.#status.state;
  }

  async tell(change: { [K in keyof AgentStatus]?: AgentStatus[K] | undefined }): Promise<void> {
    const { guid, approval, site, siteVersion, registeredAt, managementPoints, proxyPoints, policyRevision, cacheMegabytes } =
      this.#identity.memory;
    const next = {
      ...this.#status,
      guid,
      approval,
      site: site ?? '',
      siteVersion,
      registeredAt,
      managementPoints,
      proxyManagementPoints: proxyPoints?.length ? proxyPoints : undefined,
      policyRevision,
      cacheMegabytes: cacheMegabytes ?? this.#cache,
      ...change,
    };
    this.#status = Object.fromEntries(Object.entries(next).filter(([, value]) => value !== undefined)) as AgentStatus;
    await writeStatus(this.#host, this.#status);
  }
}
