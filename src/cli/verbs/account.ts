import { readFileSync } from 'node:fs';
import { raise } from '#base/errors';
import { EXIT, print, printJson, table, usage } from '../output.ts';
import type { Verbs } from '../program.ts';

interface AccountJson {
  name: string;
  username: string;
  scope: { kind: string; pattern?: string; cidr?: string };
  state: string;
  stopReason?: string;
}

function scopeText(scope: AccountJson['scope']): string {
  return scope.kind === 'site' ? 'site' : `${scope.kind} ${scope.pattern ?? scope.cidr}`;
}

// The password comes from a file or from standard input, never from the command line, where every user of the machine could read it.
function readPassword(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8').replace(/\r?\n$/, '');
  } catch (cause) {
    throw raise('PP_CLI_FILE', { file, why: 'the password cannot be read' }, { cause });
  }
}

/** accountVerbs: account add, list, resume, remove. */
export function accountVerbs(verbs: Verbs): void {
  const account = verbs.group('account', 'push accounts');
  verbs
    .add<{ username: string; passwordFile: string; host?: string; subnet?: string }>(
      account,
      'add <name>',
      'name an account that may install software on the machines',
      [
        'pushpoint account add push --username "CORP\\\\svc-push" --password-file /run/secrets/push --data ./p01',
        'pushpoint account add local --username "%machinename%\\\\Administrator" --password-file - --subnet 10.1.0.0/16 --data ./p01',
      ],
      (context, options, name) =>
        context.withApi(async (api) => {
          if (options.host && options.subnet) throw usage('an account is for --host PATTERN or for --subnet CIDR, not both');
          const scope = options.host
            ? { kind: 'host', pattern: options.host }
            : options.subnet
              ? { kind: 'subnet', cidr: options.subnet }
              : { kind: 'site' };
          const password = readPassword(options.passwordFile);
          const made = await api.send<AccountJson>('POST', '/accounts', { name, username: options.username, password, scope });
          if (context.json) printJson(made);
          else
            print(
              `Account ${made.name} (${made.username}) added for ${scopeText(made.scope)}; it is tried on one machine alone first.`,
            );
          return EXIT.ok;
        }),
    )
    .requiredOption(
      '--username <user>',
      'CORP\\user, user@corp.example, or %machinename%\\user for a local account of each machine',
    )
    .requiredOption('--password-file <file>', 'file with the password; - reads standard input')
    .option('--host <pattern>', 'only for machines whose name matches, for example LAB-*')
    .option('--subnet <cidr>', 'only for machines in this subnet');
  verbs.add(account, 'list', 'the accounts and whether they are usable', ['pushpoint account list --data ./p01'], (context) =>
    context.withApi(async (api) => {
      const { items } = await api.get<{ items: AccountJson[] }>('/accounts');
      if (context.json) printJson({ items });
      else
        table(
          ['NAME', 'USERNAME', 'FOR', 'STATE', 'REASON'],
          items.map((a) => [a.name, a.username, scopeText(a.scope), a.state, a.stopReason]),
        );
      return EXIT.ok;
    }),
  );
  verbs
    .add<{ passwordFile?: string }>(
      account,
      'resume <name>',
      'use a stopped account again, with a new password if one is given',
      ['pushpoint account resume push --password-file /run/secrets/push --data ./p01'],
      (context, options, name) =>
        context.withApi(async (api) => {
          const password = options.passwordFile === undefined ? undefined : readPassword(options.passwordFile);
          const made = await api.send('POST', `/accounts/${encodeURIComponent(name!)}/resume`, { password });
          if (context.json) printJson(made);
          else print(`Account ${name} is used again; it is tried on one machine alone first.`);
          return EXIT.ok;
        }),
    )
    .option('--password-file <file>', 'file with the new password; - reads standard input');
  verbs.add(
    account,
    'remove <name>',
    'forget an account',
    ['pushpoint account remove push --data ./p01'],
    (context, _options, name) =>
      context.withApi(async (api) => {
        await api.send('DELETE', `/accounts/${encodeURIComponent(name!)}`);
        if (context.json) printJson({ removed: name });
        else print(`Account ${name} removed.`);
        return EXIT.ok;
      }),
  );
}
