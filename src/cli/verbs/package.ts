import { EXIT, note, printDone, printJson, table } from '../output.ts';
import { addPackage } from '../package-file.ts';
import { DRY_RUN, type Verbs } from '../verb.ts';

interface PackageJson {
  name: string;
  version: string;
  platform: string;
  isDefault?: boolean;
}

/** packageVerbs: package add, list, remove. */
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
  verbs
    .add<{ dryRun?: boolean }>(group, {
      name: 'remove <package>',
      does: 'forget a package that no push and no policy needs any more',
      examples: ['pushpoint package remove our-agent --dry-run --data ./p01', 'pushpoint package remove our-agent --data ./p01'],
      run: (context, { dryRun }, name) =>
        context.withApi(async (api) => {
          const gone = await api.send<PackageJson>('DELETE', `/packages/${encodeURIComponent(name)}`, {}, { dryRun });
          if (context.json) printJson(gone);
          else printDone(`Package ${gone.name} ${gone.version} removed.`, dryRun);
          if (gone.isDefault) note(`there is no default package for ${gone.platform} any more`);
          return EXIT.ok;
        }),
    })
    .option(...DRY_RUN);
}
