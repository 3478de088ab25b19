import type { CcrRecord } from '#records/ccr';
import type { ClientRecord } from '#records/client';
import type { MaintenanceTask } from '#records/discovery';
import type { SiteSettings } from '#records/site';

/** TaskParts are the records of whose rows some get old. */
export interface TaskParts {
  client: ClientRecord;
  ccr: CcrRecord;
}

/** maintenanceTasks are those beside the ones about machines: what of clients, state messages and CCRs is kept how long (facts F9). */
export function maintenanceTasks({ client, ccr }: TaskParts, { maintenance }: SiteSettings): MaintenanceTask[] {
  return [
    {
      name: 'delete-obsolete-client',
      days: maintenance.deleteObsoleteClientDays,
      of: 'clients',
      act: (before, limit) => client.removeObsolete(before, limit),
    },
    {
      name: 'delete-unapproved-client',
      days: maintenance.deleteUnapprovedClientDays,
      of: 'clients',
      act: (before, limit) => client.removeUnapproved(before, limit),
    },
    {
      name: 'delete-client-history',
      days: maintenance.deleteClientHistoryDays,
      of: 'events',
      act: (before, limit) => client.pruneHistory(before, limit),
    },
    {
      name: 'delete-state-messages',
      days: maintenance.deleteStateMessageDays,
      of: 'state messages',
      act: (before, limit) => client.pruneStates(before, limit),
    },
    {
      name: 'delete-finished-ccr',
      days: maintenance.deleteFinishedCcrDays,
      of: 'CCRs and attempts',
      async act(before, limit) {
        const { attempts, ccrs } = await ccr.prune({ attempts: before, ccrs: before }, limit);
        return attempts + ccrs;
      },
    },
    // A token that is over is of no use to anybody; it is kept a month so that a late visitor hears why it is refused.
    { name: 'delete-expired-tokens', days: 30, of: 'tokens', act: (before, limit) => client.pruneTokens(before, limit) },
  ];
}
