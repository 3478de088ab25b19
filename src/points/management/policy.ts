import { hash } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { raise } from '#base/errors';
import { checked, Farewell, POLICY_PROOF, policyProof, SIGNATURE_HEADERS, type FarewellReply, type Policy } from '#messages';
import type { KnownClient } from '#records/client';
import { clientSiteOf, pointsFor, secondaryOf, type Branch, type Site } from '#records/site';
import type { ManagementParts } from './server.ts';
import type { SignedRequests } from './signed.ts';

/** Here is what the site knows of its branch, with its own settings. */
export type Here = Branch & { here: Site };

/**
 * policyOf is what the site wants of a client. Its site is always a primary; the client of a machine in a secondary's boundaries talks to the
 * proxy management point there first (D1). It costs no statement beyond what a heartbeat reads anyhow.
 */
export async function policyOf(
  parts: ManagementParts,
  client: Pick<KnownClient, 'resourceId' | 'approval' | 'wanted' | 'policySerial' | 'sealed'>,
  branch: Here,
): Promise<Policy> {
  const { here } = branch;
  const hasSecondary = here.kind === 'primary' && branch.sites.some((site) => secondaryOf(branch, site.code) !== undefined);
  const device = hasSecondary && client.resourceId !== undefined ? await parts.resource.byId(client.resourceId) : undefined;
  const { heartbeatMinutes, policyMinutes, logLevel, cacheMegabytes } = here.settings.client;
  const addresses = (kind: 'mp' | 'fsp') => pointsFor(kind, branch, device?.assignedSite).map((point) => point.address);
  const fallbackStatusPoint = addresses('fsp')[0];
  const { upgrade, migrate, uninstall } = client.wanted;
  const policy: Omit<Policy, 'revision'> = {
    site: clientSiteOf(here),
    approval: client.approval,
    heartbeatMinutes,
    policyMinutes,
    ...(logLevel !== undefined && { logLevel }),
    ...(cacheMegabytes !== undefined && { cacheMegabytes }),
    managementPoints: addresses('mp'),
    ...(fallbackStatusPoint !== undefined && { fallbackStatusPoint }),
    ...(upgrade && { upgrade }),
    ...(migrate && { migrate }),
    ...(uninstall && { uninstall }),
    // Withheld from everybody whom nobody approved, and from whom the approval was taken.
    ...(client.approval === 'approved' && Object.keys(client.sealed).length > 0 && { secrets: client.sealed }),
  };
  return { revision: revisionOf(policy, client.policySerial), ...policy };
}

function revisionOf(policy: Omit<Policy, 'revision'>, serial: number): string {
  return hash('sha256', `${serial}\n${JSON.stringify(policy)}`, 'base64url').slice(0, 22);
}

/** policyRoutes answers GET /ccm_system/policy, and takes the farewell of a client that leaves. Both are signed. */
export function policyRoutes(app: FastifyInstance, parts: ManagementParts, signed: SignedRequests): void {
  app.get('/ccm_system/policy', async (request, reply) => {
    const client = await signed.byClient(request);
    const branch = await parts.site.branch();
    // What proves a policy to a client is known to the site that pushed it, and does not travel.
    if (branch.here.kind === 'secondary') throw raise('PP_POLICY_AT_PRIMARY', { site: clientSiteOf(branch.here) });
    const policy = await policyOf(parts, client, branch);
    const etag = `"${policy.revision}"`;
    const known = request.headers['if-none-match'];
    const same = known !== undefined && known.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
    const body = same ? '' : JSON.stringify(policy);
    reply.header('etag', etag).header('cache-control', 'no-store');
    // A client that was pushed can tell the site's answer from one that somebody on the way made.
    const nonce = request.headers[SIGNATURE_HEADERS.nonce];
    if (client.policyKey && typeof nonce === 'string') reply.header(POLICY_PROOF, policyProof(client.policyKey, nonce, body));
    return same ? reply.code(304).send() : reply.type('application/json').send(body);
  });
  app.post('/ccm_system/farewell', async (request): Promise<FarewellReply> => {
    const { signer, body } = await signed.bySigner(request, (value) => checked(Farewell, value, 'Farewell'));
    if (signer.client?.guid !== body.guid) throw raise('PP_MSG_SIGNATURE');
    await parts.client.farewell(body.guid, body.reason);
    return { accepted: true, serverTime: parts.clock.now().toISOString() };
  });
}
