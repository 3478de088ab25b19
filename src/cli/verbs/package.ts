import { EXIT, printDone, printJson, table } from '../output.ts';
import { addPackage } from '../package-file.ts';
import { DRY_RUN, type Verbs } from '../verb.ts';

interface PackageJson {
  name: string;
  version: string;
  platform: string;
  isDefault?: boolean;
}

/** packageVerbs: package add, list. */
export function packageVerbs(verbs: Verbs): void {
  const group = verbs.group('package', 'what is pushed');
  verbs
    .add<{ dryRun?: boolean }>(group, {
      name: 'add <file>',
      does: 'take in a package: a JSON file that names a bootstrap and a payload beside it (docs/packages.md)',
      examples: ['pushpoint package add our-agent.json --data ./p01'],
      run: (context, { dryRun }, file) =>
        context.withApi(async (api) => {
          const { stored, ...made } = await addPackage(api, file, dryRun);
          if (context.json) printJson(made);
          else
            printDone(
              `Package ${made.name} ${made.version} added (${stored.map((f) => `${f.name}: ${f.size} bytes`).join(', ')}).`,
              dryRun,
            );
          return EXIT.ok;
        }),
    })
    .option(...DRY_RUN);
  verbs.add(group, {
    name: 'list',
    does: 'the packages',
    examples: ['pushpoint package list --data ./p01'],
    run: (context) =>
      context.withApi(async (api) => {
        const { items } = await api.get<{ items: PackageJson[] }>('/packages');
        if (context.json) printJson({ items });
        else
          table(
            ['NAME', 'VERSION', 'PLATFORM', 'DEFAULT'],
            items.map((p) => [p.name, p.version, p.platform, p.isDefault ? 'yes' : '']),
            'no packages yet: npm run native builds the Windows client, which the site takes in when it starts; or pushpoint package add FILE.json',
          );
        return EXIT.ok;
      }),
  });
}
