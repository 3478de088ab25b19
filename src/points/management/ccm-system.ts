import type { FastifyInstance, FastifyRequest } from 'fastify';
import { raise } from '#base/errors';
import {
  compiled,
  Heartbeat,
  Registration,
  StateMessage,
  tokenProofHolds,
  type Ddr,
  type HeartbeatReply,
  type RegistrationReply,
  type StateReply,
} from '#messages';
import type { KnownClient } from '#records/client';
import { plainAddress, Rate } from '#wire/http';
import { Admission, type AdmissionWish } from './admission.ts';
import { branchOf } from './native.ts';
import { policyOf, policyRoutes, type Here } from './policy.ts';
import { Refusals } from './refusals.ts';
import type { ManagementParts } from './server.ts';
import { SignedRequests, type Signer } from './signed.ts';

/** Anybody can make a key and register with it, so registrations without a token are few per sender; those with one were asked for. */
const UNPROVEN_BURST = 200;
const UNPROVEN_PER_SECOND = 2;

/** More than these would wait longer than a client does. A heartbeat has a week's time, so it may well come later. */
const REGISTRATIONS: AdmissionWish = { most: 1000, from: 5, to: 30 };
const HEARTBEATS: AdmissionWish = { most: 2000, from: 10, to: 60 };

const registrationIn = compiled(Registration, 'Registration');
const heartbeatIn = compiled(Heartbeat, 'Heartbeat');
const stateIn = compiled(StateMessage, 'StateMessage');

/** ccmSystem answers what clients send under /ccm_system: registration, heartbeat, state messages. All are signed (messages/signing). */
export function ccmSystem(app: FastifyInstance, parts: ManagementParts): void {
  const signed = new SignedRequests(parts);
  const unproven = new Rate(parts.clock, UNPROVEN_BURST, UNPROVEN_PER_SECOND);
  // Who seems to be somebody else stands in the audit log; many of them cannot fill it.
  const doubts = new Refusals(parts, 'client.conflict');
  app.addHook('onClose', () => doubts.close());
  const { client, random } = parts;
  const registrations = new Admission(random, { ...REGISTRATIONS, ...parts.admission?.registrations });
  const heartbeats = new Admission(random, { ...HEARTBEATS, ...parts.admission?.heartbeats });

  policyRoutes(app, parts, signed);
  const register = async (request: FastifyRequest): Promise<RegistrationReply> => {
    const address = plainAddress(request.ip);
    const registration = await signed.byOwnKey(request, registrationIn);
    const tokenId = await provenToken(parts, registration);
    if (tokenId === undefined) unproven.take(address);
    const branch = await branchOf(parts, request);
    const registered = await client.register(registration, { tokenId, address, rules: branch.here.settings.client });
    const { guid, name } = registered.client;
    if (registered.flagged !== undefined) await doubts.note({ object: `${name} ${guid}`, code: registered.flagged, address });
    return { guid, ...(await wishes(parts, registered.client, branch)) };
  };

  const hear = async (request: FastifyRequest): Promise<HeartbeatReply> => {
    const { signer, body } = await signed.bySigner(request, heartbeatIn);
    if (signer.client?.guid !== body.guid) throw raise('PP_MSG_SIGNATURE');
    const address = plainAddress(request.ip);
    const { client: heard, alarm, lastSequence } = await client.heartbeat(body.guid, body, { address });
    if (alarm !== undefined) await doubts.note({ object: `${heard.name} ${heard.guid}`, code: 'clone', address });
    const branch = await branchOf(parts, request);
    await parts.discovery.leave({ method: 'heartbeat', key: body.guid, site: branch.here.code, ddr: ddrOf(body) });
    return { ...(await wishes(parts, heard, branch)), ...(lastSequence !== undefined && { lastSequence }) };
  };
  app.post('/ccm_system/registration', (request) => registrations.admit(() => register(request)));
  app.post('/ccm_system/heartbeat', (request) => heartbeats.admit(() => hear(request)));

  app.post('/ccm_system/state', async (request): Promise<StateReply> => {
    const { signer, body } = await signed.bySigner(request, stateIn);
    const { name, domain, resourceId } = machineOf(signer, body);
    // The message is about the machine of its signer, whatever names it gives.
    const message = { ...body, name, domain, guid: signer.client?.guid };
    await client.state(message, { proven: isProven(signer), resourceId });
    return { accepted: true, serverTime: parts.clock.now().toISOString() };
  });
}

/** machineOf is the machine that a message is about; a token of another site tells only whether a name is the right one. */
function machineOf(signer: Signer, body: StateMessage): { name: string; domain: string; resourceId: number | undefined } {
  const { token } = signer;
  if (!token?.unseen) return signer.client ?? signer.token;
  if (!token.unseen.isFor(body.name)) throw raise('PP_MSG_SIGNATURE');
  return { name: body.name, domain: body.domain, resourceId: undefined };
}

/** ddrOf is what a heartbeat tells of its machine; DDM looks at who the client is when it takes it in. */
function ddrOf({ guid, name, domain, fqdn, addresses, hardwareId, os, architecture, sentAt }: Heartbeat): Ddr {
  const { name: system, version: osVersion, type } = os;
  return {
    guid,
    name,
    ...(domain !== '' && { domain }),
    ...(fqdn.includes('.') && { fqdn }),
    addresses,
    hardwareId,
    ...(system !== '' && { os: system }),
    ...(osVersion !== '' && { osVersion }),
    type,
    ...(architecture !== undefined && { architecture }),
    at: sentAt,
  };
}

/** isProven tells whether a signer is the machine it says it is; a client that nobody approved only claims it. */
function isProven({ client, token }: Signer): boolean {
  return token !== undefined || client.believed;
}

/** provenToken is the id of the token whose proof holds for this registration; a proof that does not hold refuses it. */
async function provenToken(parts: ManagementParts, registration: Registration): Promise<string | undefined> {
  const { tokenId, tokenProof, publicKey, time } = registration;
  if (tokenId === undefined && tokenProof === undefined) return undefined;
  if (tokenId === undefined || tokenProof === undefined)
    throw raise('PP_MSG_MALFORMED', { message: 'Registration', why: 'has one of tokenId and tokenProof without the other' });
  const known = await parts.client.tokenKey(tokenId);
  if (!known) throw raise('PP_CLIENT_TOKEN_UNKNOWN', { token: tokenId });
  if (!tokenProofHolds(known.key, publicKey, time, tokenProof)) throw raise('PP_MSG_SIGNATURE');
  return tokenId;
}

/** wishes is what every reply tells a client to do from now on, and which policy it should have. */
async function wishes(parts: ManagementParts, client: KnownClient, branch: Here): Promise<HeartbeatReply> {
  const { site, approval, heartbeatMinutes, managementPoints, revision } = await policyOf(parts, client, branch);
  return {
    site,
    approval,
    heartbeatMinutes,
    managementPoints,
    // A secondary gives no policy, so it has no revision to tell.
    ...(branch.here.kind === 'primary' && { policyRevision: revision }),
    serverTime: parts.clock.now().toISOString(),
  };
}
