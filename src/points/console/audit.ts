import type { FastifyRequest } from 'fastify';
import type { AuditRecord } from '#records/audit';
import type { Sql } from '#store/database';

/** The detail of one entry holds 65,536 characters; so much of it is for names. */
const LONGEST = 60_000;

/** parts cuts a list of names where the JSON of a part would grow too long. */
function parts(names: readonly string[]): string[][] {
  const cut: string[][] = [];
  let room = 0;
  for (const name of names) {
    const length = JSON.stringify(name).length + 1;
    if (length > room) {
      cut.push([]);
      room = LONGEST;
    }
    cut.at(-1)!.push(name);
    room -= length;
  }
  return cut;
}

/** auditNames writes what was done to many machines, with every name, in as many entries as that takes. */
export async function auditNames(
  audit: AuditRecord,
  request: FastifyRequest,
  entry: { what: string; names: readonly string[]; detail?: Record<string, unknown> },
  via: Sql,
): Promise<void> {
  const { what, names, detail } = entry;
  for (const part of parts(names)) {
    const object = part.length === 1 ? part[0]! : `${part.length} machines`;
    await audit.write({ who: request.who, what, object, detail: { ...detail, names: part }, address: request.ip }, via);
  }
}
