import { Contact, Unheard } from '#client/contact';
import type { TargetHost } from '#client/host';
import type { ClientLog } from '#client/log';
import { TOPIC, tokenKeyOf, type DeploymentState, type MobileClient, type Signer, type StateMessage } from '#messages';

const TAIL = 8000;

/** Told is what a state message says beside its id. */
export interface Told {
  exitCode?: number;
  detail?: string;
}

/**
 * Reporter sends the state messages of one run. With a registration token they are signed and go to the management point; without, or when
 * no management point takes them, they go to the fallback status point, where nobody can prove who sent them. A message that reaches
 * nobody changes nothing: the installation is what matters, and the site sees the agent in the end.
 */
export class Reporter {
  readonly #host: TargetHost;
  readonly #log: ClientLog;
  readonly #config: MobileClient;
  readonly #contact: Contact;
  readonly #topicId: string;

  constructor(host: TargetHost, log: ClientLog, config: MobileClient) {
    this.#host = host;
    this.#log = log;
    this.#config = config;
    this.#contact = new Contact(host, config.certificatePin);
    this.#topicId = host.random.uuid();
  }

  async send(stateId: DeploymentState, told: Told = {}): Promise<void> {
    const { registration, managementPoints, fallbackStatusPoint } = this.#config;
    const message = (now: Date) => this.#message(stateId, told, now);
    const signer: Signer | undefined = registration && { token: registration.tokenId, tokenKey: tokenKeyOf(registration.token) };
    this.#log.info(`Sending state message, STATEID='${stateId}'.`);
    const sent =
      (signer && (await this.#try(managementPoints, { path: '/ccm_system/state', message, signer }))) ||
      (fallbackStatusPoint && (await this.#try([fallbackStatusPoint], { path: '/sms_fsp/.sms_fsp', message })));
    if (sent)
      this.#log.info(`State message with TopicType ${TOPIC.clientDeployment} and TopicId {${this.#topicId}} has been sent`);
  }

  async #try(
    points: readonly string[],
    ask: { path: string; message: (now: Date) => unknown; signer?: Signer },
  ): Promise<boolean> {
    try {
      await this.#contact.ask(points, ask, () => false);
      return true;
    } catch (error) {
      if (error instanceof Unheard) this.#log.warn(`State message was not taken: ${error.message}`);
      return false;
    }
  }

  #message(stateId: DeploymentState, told: Told, now: Date): StateMessage {
    const failed = stateId >= 300 && stateId < 400;
    return {
      topicType: TOPIC.clientDeployment,
      topicId: this.#topicId,
      stateId,
      at: now.toISOString(),
      name: this.#host.name,
      domain: this.#host.domain,
      site: this.#config.site,
      clientVersion: this.#config.payload.version,
      ...(told.exitCode !== undefined && { exitCode: told.exitCode }),
      ...(told.detail !== undefined && { detail: told.detail.replace(/[\u0000-\u001f\u007f]+/g, ' ').slice(0, 1024) }),
      ...(failed && { logTail: this.#log.tail(TAIL) }),
    };
  }
}
