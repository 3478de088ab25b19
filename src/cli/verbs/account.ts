import type { Command } from 'commander';
import { usage } from '../failure.ts';
import { readPassword } from '../input.ts';
import { EXIT, printDone, printJson, table } from '../output.ts';
import { DRY_RUN, type Verbs } from '../verb.ts';

interface AccountJson {
  name: string;
  username: string;
  scope: { kind: string; pattern?: string; cidr?: string };
  state: string;
  stopReason?: string;
}

interface AddOptions {
  username: string;
  passwordFile: string;
  host?: string;
  subnet?: string;
  dryRun?: boolean;
}

function scopeText(scope: AccountJson['scope']): string {
  return scope.kind === 'site' ? 'site' : `${scope.kind} ${scope.pattern ?? scope.cidr}`;
}

function scopeOf({ host, subnet }: AddOptions): AccountJson['scope'] {
  if (host !== undefined && subnet !== undefined) throw usage('an account is for --host PATTERN or for --subnet CIDR, not both');
  if (host !== undefined) return { kind: 'host', pattern: host };
  return subnet === undefined ? { kind: 'site' } : { kind: 'subnet', cidr: subnet };
}

// The password comes from a file or from standard input, never from the command line, where every user of the machine could read it.
const PASSWORD_FILE = 'file with the password; - reads standard input';

/** accountVerbs: account add, list, resume, remove. */
export function accountVerbs(verbs: Verbs): void {
  const account = verbs.group('account', 'push accounts');
  addVerb(verbs, account);
  verbs.add(account, {
    name: 'list',
    does: 'the accounts and whether they are usable',
    examples: ['pushpoint account list --data ./p01'],
    run: (context) =>
      context.withApi(async (api) => {
        const { items } = await api.get<{ items: AccountJson[] }>('/accounts');
        if (context.json) printJson({ items });
        else
          table(
            ['NAME', 'USERNAME', 'FOR', 'STATE', 'REASON'],
            items.map((a) => [a.name, a.username, scopeText(a.scope), a.state, a.stopReason]),
            'no accounts yet: pushpoint account add NAME --username USER --password-file FILE',
          );
        return EXIT.ok;
      }),
  });
  verbs
    .add<{ passwordFile?: string; dryRun?: boolean }>(account, {
      name: 'resume <name>',
      does: 'use a stopped account again, with a new password if one is given',
      examples: ['pushpoint account resume push --password-file /run/secrets/push --data ./p01'],
      async run(context, options, name) {
        const password = options.passwordFile === undefined ? undefined : await readPassword(options.passwordFile);
        return context.withApi(async (api) => {
          const made = await api.send<AccountJson>(
            'POST',
            `/accounts/${encodeURIComponent(name)}/resume`,
            { password },
            { dryRun: options.dryRun },
          );
          if (context.json) printJson(made);
          else printDone(`Account ${made.name} is used again; it is tried on one machine alone first.`, options.dryRun);
          return EXIT.ok;
        });
      },
    })
    .option('--password-file <file>', PASSWORD_FILE)
    .option(...DRY_RUN);
  verbs
    .add<{ dryRun?: boolean }>(account, {
      name: 'remove <name>',
      does: 'forget an account',
      examples: ['pushpoint account remove push --data ./p01'],
      run: (context, { dryRun }, name) =>
        context.withApi(async (api) => {
          const removed = await api.send<{ removed: string }>('DELETE', `/accounts/${encodeURIComponent(name)}`, {}, { dryRun });
          if (context.json) printJson(removed);
          else printDone(`Account ${removed.removed} removed.`, dryRun);
          return EXIT.ok;
        }),
    })
    .option(...DRY_RUN);
}

function addVerb(verbs: Verbs, account: Command): void {
  verbs
    .add<AddOptions>(account, {
      name: 'add <name>',
      does: 'name an account that may install software on the machines',
      examples: [
        "pushpoint account add push --username 'CORP\\svc-push' --password-file /run/secrets/push --data ./p01",
        "pushpoint account add local --username '%machinename%\\Administrator' --password-file - --subnet 10.1.0.0/16 --data ./p01",
      ],
      async run(context, options, name) {
        const scope = scopeOf(options);
        const password = await readPassword(options.passwordFile);
        return context.withApi(async (api) => {
          const body = { name, username: options.username, password, scope };
          const made = await api.send<AccountJson>('POST', '/accounts', body, { dryRun: options.dryRun });
          if (context.json) printJson(made);
          else
            printDone(
              `Account ${made.name} (${made.username}) added for ${scopeText(made.scope)}; it is tried on one machine alone first.`,
              options.dryRun,
            );
          return EXIT.ok;
        });
      },
    })
    .requiredOption(
      '--username <user>',
      'CORP\\user, user@corp.example, or %machinename%\\user for a local account of each machine',
    )
    .requiredOption('--password-file <file>', PASSWORD_FILE)
    .option('--host <pattern>', 'only for machines whose name matches, for example LAB-*')
    .option('--subnet <cidr>', 'only for machines in this subnet')
    .option(...DRY_RUN);
}
