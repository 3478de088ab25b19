import { raise } from '#base/errors';
import { canonicalAddress, nameKey, shownName, validDomain, validName } from '#records/resource';
import type { Sql, Statement } from '#store/database';
import { capKey, ccrOf, type Ccr, type CcrRow, type CcrSource } from './ccr.ts';

/** CcrRequest is what somebody asks for: that this machine gets the client. */
export interface CcrRequest {
  /** NetBIOS or full DNS name; a DNS name's domain counts as the domain where none is given. */
  name: string;
  domain?: string | undefined;
  addresses?: readonly string[] | undefined;
  resourceNames?: readonly string[] | undefined;
  /** Known by the requester; else it is looked up by the name, where that is unambiguous. */
  resourceId?: number | undefined;
  smbPort?: number | undefined;
  forced?: boolean | undefined;
  reinstall?: boolean | undefined;
  includeDcs?: boolean | undefined;
  inspectOnly?: boolean | undefined;
  /** Remove the client instead; where it is not said, a CCR that is there stays what it is. */
  uninstall?: boolean | undefined;
  source: CcrSource;
  requestedBy: string;
  initialRequestDate?: Date | undefined;
  package?: string | undefined;
  /** The push it belongs to; a machine that is asked for again joins the later one. */
  wave?: number | undefined;
}

/** Requested is the live CCR of the machine, new or merged into. */
export interface Requested {
  ccr: Ccr;
  made: 'new' | 'merged';
}

const requestStatement: Statement = {
  name: 'ccr_request',
  text: 'select r.made, (r.c).* from ccr_request_all($1, $2) r order by r.at',
};

/** The longest NetBIOS name; a longer one is the first label of a DNS name, and only good with its domain. */
const NETBIOS = 15;

function wholeName({ name, domain }: CcrRequest): string {
  return name.length > NETBIOS && !name.includes('.') && domain ? `${name}.${domain}` : name;
}

function parameters(request: CcrRequest): Record<string, unknown> {
  const { name, domain: own, fqdn } = validName(wholeName(request));
  const domain = validDomain(request.domain ?? '') || own;
  const others = request.resourceNames ?? [];
  // Names to try beside the first are held to the same rules; a bad one is left out of the request by the caller, not here.
  for (const other of others) validName(other);
  const addresses = (request.addresses ?? []).map((given) => {
    const address = canonicalAddress(given);
    if (!address) throw raise('PP_REQUEST_ADDRESS', { address: shownName(given) });
    return address;
  });
  return {
    name,
    nameKey: nameKey(name),
    domain,
    domainKey: nameKey(domain),
    addresses,
    capKey: capKey(addresses),
    // The full name that was asked for is one to try, whatever the domain is called.
    resourceNames: fqdn !== undefined && !others.includes(fqdn) ? [fqdn, ...others] : others,
    resourceId: request.resourceId,
    smbPort: request.smbPort,
    forced: request.forced ?? false,
    reinstall: request.reinstall ?? false,
    includeDcs: request.includeDcs ?? false,
    inspectOnly: request.inspectOnly ?? false,
    source: request.source,
    requestedBy: shownName(request.requestedBy),
    initialRequestDate: request.initialRequestDate,
    package: request.package,
    wave: request.wave,
  };
}

/** What is under way for the opposite, or was done for it and waits for its proof, proves nothing of what is wanted now: it is worked anew. */
const TURN = `update ccr set uninstall = not uninstall, rerun = case when worker_id is null then rerun else 2 end,
    state = case when worker_id is null and state = 'verifying' then 'queued' else state end,
    paused_from = case when state = 'paused' then 'queued' end
  where id = any($1) returning *`;

/**
 * requestAll makes or merges one CCR for each request, in one statement and in the order given. What is to be removed is said by a second one,
 * so the caller has both in one transaction.
 */
export async function requestAll(sql: Sql, requests: readonly CcrRequest[], now: Date): Promise<Requested[]> {
  if (requests.length === 0) return [];
  const rows = await sql.exec<CcrRow & { made: boolean }>(requestStatement, [JSON.stringify(requests.map(parameters)), now]);
  const opposite = rows.filter((row, i) => requests[i]!.uninstall !== undefined && row.uninstall !== requests[i]!.uninstall);
  const turned = new Map<number, CcrRow>();
  if (opposite.length > 0)
    for (const row of await sql.query<CcrRow>(TURN, [[...new Set(opposite.map((one) => one.id))]])) turned.set(row.id, row);
  return rows.map((row) => ({
    ccr: ccrOf(turned.get(row.id) ?? row),
    made: row.made ? 'new' : 'merged',
  }));
}
