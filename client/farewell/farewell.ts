import type { Contact } from '#client/contact';
import type { TargetHost } from '#client/host';
import type { Identity } from '#client/identity';
import type { Farewell } from '#messages';

/** Leaver is who says goodbye, and to whom. */
export interface Leaver {
  readonly host: TargetHost;
  readonly identity: Pick<Identity, 'memory' | 'privateKey'>;
  readonly contact: Contact;
}

/**
 * sayFarewell tells the site that this client is being removed, or moves to another one, so that nobody waits for its next heartbeat. It
 * raises when nobody took it; leaving does not wait for that.
 */
export async function sayFarewell(leaver: Leaver, points: readonly string[], reason: Farewell['reason']): Promise<void> {
  const { contact, identity } = leaver;
  const { guid } = identity.memory;
  if (guid === undefined) return;
  const message = (now: Date): Farewell => ({ guid, reason, sentAt: now.toISOString() });
  const signer = { client: guid, privateKey: identity.privateKey };
  await contact.ask(points, { path: '/ccm_system/farewell', message, signer }, () => false);
}
