import { layout, type TargetHost } from '#client/host';
import { ClientLog, type LogRules } from '#client/log';

/** Logs are the files the agent writes (facts D4), each about one thing. */
export class Logs {
  readonly exec: ClientLog;
  readonly identity: ClientLog;
  readonly services: ClientLog;
  readonly location: ClientLog;
  readonly policy: ClientLog;
  readonly state: ClientLog;
  readonly #rules: LogRules;

  constructor(host: TargetHost, rules: LogRules) {
    this.#rules = rules;
    this.exec = new ClientLog(host, layout.agentLog, 'CcmExec', rules);
    this.identity = new ClientLog(host, layout.identityLog, 'ClientIDManagerStartup', rules);
    this.services = new ClientLog(host, layout.servicesLog, 'LocationServices', rules);
    this.location = new ClientLog(host, layout.locationLog, 'ClientLocation', rules);
    this.policy = new ClientLog(host, layout.policyLog, 'PolicyAgent', rules);
    this.state = new ClientLog(host, layout.stateLog, 'FSPStateMessage', rules);
  }

  /** setLevel is CCMLOGLEVEL: 0 = everything … 3 = errors only. */
  setLevel(level: number): void {
    this.#rules.level = level;
  }

  /** flush resolves when all lines so far are written. */
  async flush(): Promise<void> {
    for (const log of [this.exec, this.identity, this.services, this.location, this.policy, this.state]) await log.flush();
  }
}
