import type { FastifyRequest } from 'fastify';
import type { AuditRecord } from '#records/audit';
import type { Sql } from '#store/database';

/** The detail of one entry holds 65,536 characters; names have at most 300, quotes and all that JSON makes of them far less. */
const NAMES = 150;

/** auditNames writes what was done to many machines, with every name, in as many entries as that takes. */
export async function auditNames(
  audit: AuditRecord,
  request: FastifyRequest,
  entry: { what: string; names: readonly string[]; detail?: Record<string, unknown> },
  via: Sql,
): Promise<void> {
  const { what, names, detail } = entry;
  for (let from = 0; from < names.length; from += NAMES) {
    const part = names.slice(from, from + NAMES);
    await audit.write(
      {
        who: request.who,
        what,
        object: part.length === 1 ? part[0]! : `${part.length} machines`,
        detail: { ...detail, names: part },
        address: request.ip,
      },
      via,
    );
  }
}
