import { readBranchToken, type SentClient } from '#messages';
import type { Sql } from '#store/database';
import { trustRules, type ClientRow, type Proof, type TrustRules } from './client.ts';
import { noteEvent } from './event.ts';
import { barredOn, conflictsOf, likest, openConflict, settle, type ConflictKind } from './identity.ts';

/** What this site makes of a client that another one of its branch tells of: the same rules as for one that registers here, as far as the teller is believed. */

/** Teller is the site that tells of a client, and what it may tell. */
export interface Teller {
  site: string;
  role: 'parent' | 'child';
  /** May it speak for machines of this site, or of none? The parent may for all. */
  speaksFor: (assignedSite: string | undefined) => boolean;
  /** Whom this site believes. */
  rules?: TrustRules | undefined;
  /** The teller decides about its own clients: it is a primary. */
  decides?: boolean | undefined;
}

/** Told is a client that is told of, and what is known of it here. */
export interface Told {
  sent: SentClient;
  keyHash: Uint8Array;
  /** The record that goes on with what is told. */
  old: ClientRow | undefined;
  /** The machine that it says it is. */
  machine: number | undefined;
  /** The teller is believed about that machine. */
  mayTell: boolean;
  /** How the client showed who it is, as far as the teller is believed. */
  proof: Proof | undefined;
}

interface Doubt {
  kind: ConflictKind;
  holds: boolean;
  otherId: number;
  score: number;
}

/** Verdict is what stands in the record after it: approval, who said so, and block. */
export interface Verdict {
  approval: ClientRow['approval'];
  approvedBy: string | undefined;
  blocked: boolean;
  blockedBy: string | undefined;
  obsolete: boolean;
  doubt: Doubt | undefined;
}

/**
 * believed tells how much a child is believed of a client: nothing of a machine of another branch, unless it brings the token that this site
 * made to be used there; the id of any other token may have been seen on the way; and of a machine of no site only where no client of this site is on it.
 */
export async function believed(
  tx: Sql,
  sent: SentClient,
  { speaksFor }: Teller,
  { resourceId, keyHash }: { resourceId: number | undefined; keyHash: Uint8Array },
): Promise<boolean> {
  const peer = readBranchToken(sent.tokenId ?? '')?.peer;
  if (peer !== undefined && speaksFor(peer)) {
    const [token] = await tx.query('select 1 as one from client_token where id = $1 and ccr_id is not null', [sent.tokenId]);
    if (token) return true;
  }
  const [machine] = await tx.query<{ site: string | null }>('select assigned_site as site from resource where id = $1', [
    resourceId,
  ]);
  if (!machine) return true;
  if (!speaksFor(machine.site ?? undefined)) return false;
  if (machine.site !== null) return true;
  const others = await tx.query<{ via: string | null }>(
    `select via_site as via from client where resource_id = $1 and key_hash <> $2 and not obsolete and approval = 'approved'`,
    [resourceId, keyHash],
  );
  return others.every(({ via }) => via !== null && speaksFor(via));
}

/** isOf tells whether a known client is one of a child: of a machine of its branch, or it came from there and is on no machine of another one. */
export async function isOf(tx: Sql, old: ClientRow, { speaksFor }: Teller): Promise<boolean> {
  const [machine] = await tx.query<{ site: string | null }>('select assigned_site as site from resource where id = $1', [
    old.resource_id,
  ]);
  if (machine && machine.site !== null) return speaksFor(machine.site);
  return old.via_site !== null && speaksFor(old.via_site);
}

/** provesItself tells how a child says that the client proved itself. Only a primary asks domains. */
export function provesItself({ provenBy, approval, approvedBy }: SentClient, { decides }: Teller): Proof | undefined {
  if (provenBy === 'token' || (approval === 'approved' && approvedBy === 'token')) return 'token';
  return provenBy === 'domain' && decides === true ? 'domain' : undefined;
}

/** siteMark is who blocked a client, where another site said so: what that site blocked it may unblock. */
const siteMark = (site: string): string => `site ${site}`;

/** saidBy is who approved or rejected, as it stands at another site: a person is named with the site where that was. */
function saidBy(by: string | undefined, site: string): string {
  if (by === undefined) return siteMark(site);
  return ['token', 'domain', 'setting'].includes(by) || / at \w{3}$/.test(by) ? by : `${by} at ${site}`.slice(-128);
}

/** verdictOn judges a client that is told of. */
export async function verdictOn(tx: Sql, told: Told, from: Teller): Promise<Verdict> {
  const { sent, old } = told;
  const before = {
    approval: old?.approval ?? ('pending' as const),
    approvedBy: old?.approved_by ?? undefined,
    blocked: old?.blocked ?? false,
    blockedBy: old?.blocked_by ?? undefined,
    obsolete: old?.obsolete ?? sent.obsolete,
    doubt: undefined,
  };
  if (from.role === 'parent') {
    const decided = sent.approval === 'pending' ? {} : { approval: sent.approval, approvedBy: sent.approvedBy ?? 'parent' };
    const { blocked, obsolete } = sent;
    return { ...before, ...decided, blocked, blockedBy: blocked ? siteMark(from.site) : undefined, obsolete };
  }
  const doubt = await doubtOn(tx, told, from);
  const held = doubt?.holds === true || (await isHeld(tx, told, from));
  // A primary decides about its clients, and what it decided is so here. What a person here decided about one that was here before stays.
  if (from.decides === true && told.mayTell && (!old || old.via_site === from.site || old.approval === 'pending')) {
    const { blocked } = sent;
    const isTheirs = before.blockedBy === undefined || before.blockedBy === siteMark(from.site);
    const block = isTheirs ? { blocked, blockedBy: blocked ? siteMark(from.site) : undefined } : {};
    const unproven = sent.approvedBy === 'token' && told.proof === undefined;
    const isOpen = sent.approval === 'pending' || (sent.approval === 'approved' && (held || unproven));
    const decided = isOpen ? {} : { approval: sent.approval, approvedBy: saidBy(sent.approvedBy, from.site) };
    return { ...before, ...decided, ...block, obsolete: sent.obsolete, doubt };
  }
  const { approval: mode } = from.rules ?? trustRules;
  // A proof approves when it comes, not again with every sign of life: what waits since then waits for a person.
  const isProof = told.proof !== undefined && old?.proven_by == null;
  if (before.approval !== 'pending' || !isProof || held || mode === 'manual') return { ...before, doubt };
  return { ...before, approval: 'approved', approvedBy: told.proof, doubt };
}

/** doubtOn says what speaks against a client of a site below: what would speak against one that registers here. */
async function doubtOn(tx: Sql, told: Told, from: Teller): Promise<Doubt | undefined> {
  const { sent, old, proof, machine } = told;
  if (sent.obsolete || (old && (old.approval !== 'pending' || old.proven_by !== null || proof === undefined))) return undefined;
  const like = old ? undefined : await likest(tx, sent);
  const score = like?.score ?? 0;
  if (like?.sameHardware && like.row.blocked) return { kind: 'blocked', holds: true, otherId: like.row.id, score };
  const barred = await barredOn(tx, machine);
  if (barred && barred.id !== old?.id) {
    const { kind, id: otherId } = barred;
    // Where the site below has both and approved the new one, a person there has seen what was decided about the older one.
    if (!(isDecidedThere(told, from) && (await isClientOf(tx, otherId, from)))) return { kind, holds: true, otherId, score };
  }
  if (!like?.sameHardware || proof !== undefined) return undefined;
  const holds = (from.rules ?? trustRules).conflicts === 'manual';
  return { kind: 'hardware', holds, otherId: like.row.id, score };
}

/** isDecidedThere tells whether a primary below approved a client, which it does of none that is held there. */
function isDecidedThere({ sent, mayTell }: Told, { decides }: Teller): boolean {
  return decides === true && mayTell && sent.approval === 'approved';
}

async function isClientOf(tx: Sql, id: number | undefined, from: Teller): Promise<boolean> {
  const [row] = id === undefined ? [] : await tx.query<ClientRow>('select * from client where id = $1', [id]);
  return row !== undefined && (await isOf(tx, row, from));
}

/** isHeld tells whether a conflict waits for a person here: all but those among clients of a primary that approved this one. */
async function isHeld(tx: Sql, told: Told, from: Teller): Promise<boolean> {
  const { old } = told;
  if (!old || old.approval !== 'pending') return false;
  for (const { holds, otherId } of await conflictsOf(tx, old.id))
    if (holds && !(isDecidedThere(told, from) && (await isClientOf(tx, otherId, from)))) return true;
  return false;
}

/** keepVerdict keeps what speaks against a client and what was decided about it, in its history too. */
export async function keepVerdict(
  tx: Sql,
  { old, row, verdict }: { old: ClientRow | undefined; row: ClientRow; verdict: Verdict },
  from: Teller,
  now: Date,
): Promise<void> {
  const { doubt } = verdict;
  if (doubt) await openConflict(tx, { clientId: row.id, ...doubt, detail: { why: `it registered at site ${from.site}` } }, now);
  if (row.approval === (old?.approval ?? 'pending') && row.blocked === (old?.blocked ?? false)) return;
  const by = siteMark(from.site);
  const what = row.blocked !== (old?.blocked ?? false) ? (row.blocked ? 'blocked' : 'unblocked') : row.approval;
  await noteEvent(tx, row.id, { what, by, ...(row.approved_by !== null && { detail: { approvedBy: row.approved_by } }) }, now);
  if (row.approval === 'pending' && !row.blocked) return;
  const isFinal = from.role === 'parent' || row.blocked || row.approval === 'rejected';
  if (isFinal) return settle(tx, row.id, row.blocked ? 'blocked' : row.approval, by, now);
  for (const { id, otherId } of await conflictsOf(tx, row.id))
    if (await isClientOf(tx, otherId, from))
      await tx.query('update client_conflict set decision = $2, decided_by = $3, decided_at = $4 where id = $1', [
        id,
        row.approval,
        by,
        now,
      ]);
}
