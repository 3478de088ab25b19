import type { Command } from 'commander';
import type { Api } from '../api.ts';
import { usage } from '../failure.ts';
import { EXIT, fields, note, printDone, printJson } from '../output.ts';
import { DRY_RUN, type Context, type Verbs } from '../verb.ts';

interface PushJson {
  enabled: boolean;
  systems: string[];
  siteSystems: boolean;
  properties: string;
  package?: string;
}

interface Options {
  enable?: boolean;
  disable?: boolean;
  systems?: string;
  siteSystems?: string;
  properties?: string;
  package?: string;
  dryRun?: boolean;
}

function yesOrNo(given: string | undefined): boolean | undefined {
  if (given === undefined) return undefined;
  if (given !== 'yes' && given !== 'no') throw usage('--site-systems wants yes or no');
  return given === 'yes';
}

function changesOf(options: Options): Record<string, unknown> {
  if (options.enable && options.disable) throw usage('--enable or --disable, not both');
  const { systems, properties, package: name } = options;
  const changes = {
    enabled: options.enable ? true : options.disable ? false : undefined,
    systems: systems === undefined ? undefined : systems === 'none' ? [] : systems.split(',').map((one) => one.trim()),
    siteSystems: yesOrNo(options.siteSystems),
    properties,
    package: name === 'default' ? null : name,
  };
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
}

/** pushSettingsVerb: push settings, the site-wide push of this site. */
export function pushSettingsVerb(verbs: Verbs, push: Command): void {
  verbs
    .add<Options>(push, {
      name: 'settings',
      does: 'show or change site-wide push: which machines of this site get the client by themselves as soon as a trusted source discovers them',
      examples: [
        'pushpoint push settings --data ./p01',
        'pushpoint push settings --enable --systems workstations,servers --data ./p01',
        "pushpoint push settings --properties 'SMSCACHESIZE=2000' --site-systems yes --data ./p01",
        'pushpoint push settings --disable --data ./p01',
      ],
      run: (context, options) => {
        const changes = changesOf(options);
        return context.withApi((api) => settings(api, context, changes, options.dryRun === true));
      },
    })
    .option('--enable', 'switch it on; machines that are known already are taken too')
    .option('--disable', 'switch it off, and take back the CCRs that it has made')
    .option('--systems <list>', 'which types: workstations,servers,dcs, or none')
    .option('--site-systems <yes|no>', 'also machines that a point of a site stands on')
    .option('--properties <text>', 'installation properties for every push of this site, by hand or not')
    .option('--package <name>', 'what is pushed; default takes the choice back')
    .option(...DRY_RUN);
}

async function settings(api: Api, context: Context, changes: Record<string, unknown>, dryRun: boolean): Promise<number> {
  const isChange = Object.keys(changes).length > 0;
  const { push } = isChange
    ? await api.send<{ push: PushJson }>('PATCH', '/settings', { push: changes }, { dryRun })
    : await api.get<{ push: PushJson }>('/settings');
  const { items: accounts } = await api.get<{ items: { name: string; state: string }[] }>('/accounts');
  const assigns = (await api.get<{ items: { roaming: boolean }[] }>('/boundaries')).items.some(({ roaming }) => !roaming);
  if (context.json) {
    printJson({ ...push, accounts: accounts.map(({ name, state }) => ({ name, state })) });
    return EXIT.ok;
  }
  if (isChange) printDone('site-wide push is set so:', dryRun);
  fields([
    ['enabled', push.enabled],
    ['systems', push.systems.join(', ') || 'none'],
    ['site systems', push.siteSystems],
    ['properties', push.properties],
    ['package', push.package ?? 'the default one'],
    ['accounts', accounts.map(({ name, state }) => `${name} (${state})`).join(', ') || 'none'],
  ]);
  if (!push.enabled) return EXIT.ok;
  if (!assigns)
    note('No site boundary is configured, so no machine is assigned and none is taken: pushpoint boundary add KIND:VALUE');
  if (!accounts.length) note('There is no push account, so CCRs wait at logon: pushpoint account add');
  return EXIT.ok;
}
