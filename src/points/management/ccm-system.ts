import type { FastifyInstance } from 'fastify';
import { raise } from '#base/errors';
import {
  checked,
  Heartbeat,
  Registration,
  StateMessage,
  tokenProofHolds,
  type HeartbeatReply,
  type RegistrationReply,
  type StateReply,
} from '#messages';
import type { Client } from '#records/client';
import { Rate } from './rate.ts';
import type { ManagementParts } from './server.ts';
import { SignedRequests } from './signed.ts';

/** Registrations may come in a storm when a building is switched on, all from one address behind NAT. */
const REGISTER_BURST = 500;
const REGISTER_PER_SECOND = 50;

/** ccmSystem answers what clients send under /ccm_system: registration, heartbeat, state messages. All are signed (messages/signing). */
export function ccmSystem(app: FastifyInstance, parts: ManagementParts): void {
  const signed = new SignedRequests(parts);
  const rate = new Rate(parts.clock, REGISTER_BURST, REGISTER_PER_SECOND);
  const { client } = parts;

  app.post('/ccm_system/registration', async (request): Promise<RegistrationReply> => {
    rate.take(request.ip);
    const { body } = await signed.verify(
      request,
      (value) => checked(Registration, value, 'Registration'),
      async (claim, registration) => (claim.client || claim.token ? undefined : { publicKey: registration.publicKey }),
    );
    const tokenId = await provenToken(parts, body);
    const registered = await client.register(body, { tokenId, address: request.ip });
    return { guid: registered.client.guid, ...(await wishes(parts, registered.client)) };
  });

  app.post('/ccm_system/heartbeat', async (request): Promise<HeartbeatReply> => {
    const { claim, body } = await signed.verify(
      request,
      (value) => checked(Heartbeat, value, 'Heartbeat'),
      async ({ client: guid }) => keyOfClient(parts, guid),
    );
    if (claim.client !== body.guid) throw raise('PP_MSG_SIGNATURE');
    return wishes(parts, await client.heartbeat(body.guid, body, { address: request.ip }));
  });

  app.post('/ccm_system/state', async (request): Promise<StateReply> => {
    const { claim, body } = await signed.verify(
      request,
      (value) => checked(StateMessage, value, 'StateMessage'),
      async ({ client: guid, token }) => {
        if (guid) return keyOfClient(parts, guid);
        const known = token === undefined ? undefined : await client.tokenKey(token);
        return known && known.expiresAt > parts.clock.now() ? { tokenKey: known.key } : undefined;
      },
    );
    await client.state(body, { proven: true, resourceId: await speaker(parts, claim) });
    return { accepted: true, serverTime: parts.clock.now().toISOString() };
  });
}

async function keyOfClient(parts: ManagementParts, guid: string | undefined): Promise<{ publicKey: string } | undefined> {
  const known = guid === undefined ? undefined : await parts.client.byGuid(guid);
  if (guid !== undefined && !known) throw raise('PP_CLIENT_UNKNOWN', { guid });
  if (known?.blocked) throw raise('PP_CLIENT_BLOCKED', { guid: known.guid, name: known.name });
  return known && { publicKey: known.publicKey };
}

/** provenToken is the id of the token whose proof holds for this registration; a proof that does not hold refuses it. */
async function provenToken(parts: ManagementParts, registration: Registration): Promise<string | undefined> {
  const { tokenId, tokenProof, publicKey, time } = registration;
  if (tokenId === undefined || tokenProof === undefined) return undefined;
  const known = await parts.client.tokenKey(tokenId);
  if (!known) throw raise('PP_CLIENT_TOKEN_UNKNOWN', { token: tokenId });
  if (!tokenProofHolds(known.key, publicKey, time, tokenProof)) throw raise('PP_MSG_SIGNATURE');
  return tokenId;
}

/** speaker is the machine that a signed state message is about: that of the signer, whatever name it gives itself. */
async function speaker(parts: ManagementParts, claim: { client?: string; token?: string }): Promise<number | undefined> {
  if (claim.token !== undefined) return (await parts.client.tokenKey(claim.token))?.resourceId;
  return claim.client === undefined ? undefined : (await parts.client.byGuid(claim.client))?.resourceId;
}

async function wishes(parts: ManagementParts, client: Client): Promise<HeartbeatReply> {
  const site = await parts.site.here();
  const points = (await parts.site.points()).filter((p) => p.kind === 'mp' && p.on);
  return {
    site: site.code,
    approval: client.approval,
    heartbeatMinutes: site.settings.client.heartbeatMinutes,
    managementPoints: points.map((p) => p.address),
    serverTime: parts.clock.now().toISOString(),
  };
}
