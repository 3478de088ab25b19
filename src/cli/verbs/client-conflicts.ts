import type { Command } from 'commander';
import { EXIT, printDone, printJson, table } from '../output.ts';
import { DRY_RUN, type Verbs } from '../verb.ts';

/** ClientJson is a client as the API gives it. */
export interface ClientJson {
  guid: string;
  name: string;
  domain?: string;
  fqdn?: string;
  addresses?: string[];
  os?: string;
  osVersion?: string;
  version: string;
  site?: string;
  approval: string;
  approvedBy?: string;
  provenBy?: string;
  blocked: boolean;
  obsolete: boolean;
  hardwareId: string;
  keyId: string;
  wanted?: Record<string, unknown>;
  registeredAt: string;
  lastSeenAt?: string;
  lastAddress?: string;
}

interface ConflictJson extends ClientJson {
  conflict: { kind: string; score: number; holds: boolean; at: string; detail?: { why?: string }; other?: ClientJson };
}

const KINDS: Record<string, string> = {
  hardware: 'has the hardware id of',
  name: 'has the name of',
  blocked: 'is on the hardware of the blocked',
  rejected: 'is on the machine of the rejected',
  retired: 'came with a key that was given up by',
  clone: 'one key on two machines',
};

/** conflictVerbs: client conflicts, merge, new, bad-hardware. */
export function conflictVerbs(verbs: Verbs, client: Command): void {
  verbs.add(client, {
    name: 'conflicts',
    does: 'clients that seem to be somebody else: decide with merge (the same machine), new (another one) or block',
    examples: ['pushpoint client conflicts --data ./p01'],
    run: (context) =>
      context.withApi(async (api) => {
        const { items } = await api.get<{ items: ConflictJson[] }>('/clients/conflicts');
        if (context.json) printJson({ items });
        else {
          const rows = items.map(({ name, guid, approval, conflict: { kind, holds, score, detail, other } }) => [
            name,
            guid,
            holds ? `${approval}, held` : approval,
            `${KINDS[kind] ?? kind}${other ? ` ${other.name} ${other.guid}` : ''}${detail?.why === undefined ? '' : `: ${detail.why}`}`,
            score,
          ]);
          table(['NAME', 'GUID', 'APPROVAL', 'WHY', 'OF 100'], rows, 'no conflicts');
        }
        return EXIT.ok;
      }),
  });
  verbs
    .add<{ into?: string; dryRun?: boolean }>(client, {
      name: 'merge <name>',
      does: 'say that it is the machine it resembles: the older record goes on with its key, with SMSID and history. Of one key on two machines: it is one machine after all',
      examples: [
        'pushpoint client merge GUID:6F9619FF-8B86-D011-B42D-00C04FC964FF --data ./p01',
        'pushpoint client merge PC042-NEW --into PC042 --data ./p01',
      ],
      run: (context, { into, dryRun }, name) =>
        context.withApi(async (api) => {
          const body = into === undefined ? undefined : { into };
          const done = await api.send<Result>('POST', `/clients/${encodeURIComponent(name)}/merge`, body, { dryRun });
          if (context.json) printJson(done);
          else printDone(`${done.name} is ${done.guid} from now on${done.blocked ? ', and is blocked' : ''}.`, dryRun);
          return EXIT.ok;
        }),
    })
    .option('--into <client>', 'the record that goes on, by name or GUID; without it the one it is in conflict with')
    .option(...DRY_RUN);
  verbs
    .add<{ dryRun?: boolean }>(client, {
      name: 'new <name>',
      does: 'say that it is a machine of its own. Of one key on two machines: both make a new key and register again',
      examples: ['pushpoint client new GUID:6F9619FF-8B86-D011-B42D-00C04FC964FF --data ./p01'],
      run: (context, { dryRun }, name) =>
        context.withApi(async (api) => {
          const done = await api.send<Result>('POST', `/clients/${encodeURIComponent(name)}/new`, undefined, { dryRun });
          if (context.json) printJson(done);
          else printDone(`${done.name} (${done.guid}) is a machine of its own.`, dryRun);
          return EXIT.ok;
        }),
    })
    .option(...DRY_RUN);
  badHardwareVerb(verbs, client);
}

function badHardwareVerb(verbs: Verbs, client: Command): void {
  verbs
    .add<{ add?: string; remove?: string; why?: string; dryRun?: boolean }>(client, {
      name: 'bad-hardware',
      does: 'hardware ids that tell no machine from another, and are not compared: list them, put one on the list, take one off',
      examples: [
        'pushpoint client bad-hardware --data ./p01',
        'pushpoint client bad-hardware --add 03000200-0400-0500-0006-000700080009 --why "board without a serial number" --data ./p01',
        'pushpoint client bad-hardware --remove 03000200-0400-0500-0006-000700080009 --data ./p01',
      ],
      run: (context, { add, remove, why, dryRun }) =>
        context.withApi(async (api) => {
          const path = '/clients/bad-hardware';
          const changed =
            add !== undefined
              ? await api.send<Changed>('POST', path, { hardwareId: add, why }, { dryRun })
              : remove !== undefined
                ? await api.send<Changed>('DELETE', `${path}/${encodeURIComponent(remove)}`, undefined, { dryRun })
                : undefined;
          if (changed) {
            if (context.json) printJson(changed);
            else if (remove === undefined)
              printDone(`${changed.hardwareId} is compared no more; ${changed.closed} conflicts closed.`, dryRun);
            else printDone(`${changed.hardwareId} is compared again.`, dryRun);
            return EXIT.ok;
          }
          const { items } = await api.get<{ items: { hardwareId: string; why: string; addedBy: string; addedAt: string }[] }>(
            path,
          );
          if (context.json) printJson({ items });
          else {
            const rows = items.map((one) => [one.hardwareId, one.addedBy, one.addedAt, one.why]);
            table(['HARDWARE ID', 'ADDED BY', 'AT', 'WHY'], rows, 'no hardware id is on the list');
          }
          return EXIT.ok;
        }),
    })
    .option('--add <id>', 'put this one on the list; conflicts that stood on it alone are closed')
    .option('--remove <id>', 'take this one off the list')
    .option('--why <text>', 'a word for whoever reads the list')
    .option(...DRY_RUN);
}

/** What became of one client. */
interface Result {
  guid: string;
  name: string;
  done: boolean;
  blocked?: boolean;
}

interface Changed {
  hardwareId: string;
  closed?: number;
}
