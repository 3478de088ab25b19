import { Contact, Unheard } from '#client/contact';
import type { TargetHost } from '#client/host';
import type { ClientLog } from '#client/log';
import { TOPIC, type DeploymentState, type Signer, type StateMessage } from '#messages';

const TAIL = 8000;

/** Told is what a state message says beside its id. */
export interface Told {
  exitCode?: number;
  detail?: string;
}

/** ReportFrom is who reports, and to whom: signed to the management points where it can sign, else to the fallback status point. */
export interface ReportFrom {
  site?: string;
  clientVersion?: string;
  guid?: string;
  managementPoints: readonly string[];
  fallbackStatusPoints: readonly string[];
  pins?: readonly string[];
  signer?: Signer;
  /** Which points an answer proves to be the site's; without it https does. */
  proves?: (point: string) => boolean;
  /** One id stands for one run, or for one assignment; without it the reporter makes one. */
  topicId?: string;
}

/**
 * Reporter sends the state messages of one run. With a registration token or a client's key they are signed and go to the management point;
 * without, or when no management point takes them, they go to the fallback status point, where nobody can prove who sent them. A message
 * that reaches nobody changes nothing: the installation is what matters, and the site sees the agent in the end.
 */
export class Reporter {
  readonly topicId: string;
  readonly #host: TargetHost;
  readonly #log: ClientLog;
  readonly #from: ReportFrom;
  readonly #contact: Contact;

  constructor(host: TargetHost, log: ClientLog, from: ReportFrom) {
    this.#host = host;
    this.#log = log;
    this.#from = from;
    const { pins, proves } = from;
    this.#contact = new Contact(host, pins, { ...(proves && { proves }), warn: (line) => log.warn(line) });
    this.topicId = from.topicId ?? host.random.uuid();
  }

  /** send tells whether somebody took the message. */
  async send(stateId: DeploymentState, told: Told = {}): Promise<boolean> {
    const { signer, managementPoints, fallbackStatusPoints } = this.#from;
    const message = (now: Date) => this.#message(stateId, told, now);
    this.#log.info(`Sending state message, STATEID='${stateId}'.`);
    const signed = signer !== undefined && (await this.#try(managementPoints, { path: '/ccm_system/state', message, signer }));
    const sent = signed || (await this.#try(fallbackStatusPoints, { path: '/sms_fsp/.sms_fsp', message }));
    if (sent) {
      const where = signed ? '' : ' to the FSP';
      this.#log.info(
        `State message with TopicType ${TOPIC.clientDeployment} and TopicId {${this.topicId}} has been sent${where}`,
      );
    }
    return sent;
  }

  async #try(
    points: readonly string[],
    ask: { path: string; message: (now: Date) => unknown; signer?: Signer },
  ): Promise<boolean> {
    if (points.length === 0) return false;
    try {
      await this.#contact.ask(points, ask, () => false);
      return true;
    } catch (error) {
      if (error instanceof Unheard) this.#log.warn(`State message was not taken: ${error.message}`);
      return false;
    }
  }

  #message(stateId: DeploymentState, told: Told, now: Date): StateMessage {
    const { site, clientVersion, guid } = this.#from;
    const failed = stateId >= 300 && stateId < 400;
    return {
      topicType: TOPIC.clientDeployment,
      topicId: this.topicId,
      stateId,
      at: now.toISOString(),
      name: this.#host.name,
      domain: this.#host.domain,
      ...(site !== undefined && { site }),
      ...(guid !== undefined && { guid }),
      ...(clientVersion !== undefined && { clientVersion }),
      ...(told.exitCode !== undefined && { exitCode: told.exitCode }),
      ...(told.detail !== undefined && { detail: told.detail.replace(/[\u0000-\u001f\u007f]+/g, ' ').slice(0, 1024) }),
      ...(failed && { logTail: this.#log.tail(TAIL) }),
    };
  }
}
