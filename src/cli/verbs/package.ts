import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { raise } from '#base/errors';
import { sizeOf } from '../api.ts';
import { EXIT, print, printJson, Progress, table } from '../output.ts';
import type { Verbs } from '../program.ts';

interface Definition {
  name?: string;
  bootstrap?: { file?: string };
  payload?: { file?: string };
}

interface Stored {
  name: string;
  sha256: string;
  size: number;
}

function readDefinition(file: string): Definition {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Definition;
  } catch (cause) {
    throw raise(
      'PP_CLI_FILE',
      { file, why: cause instanceof SyntaxError ? `it is not JSON: ${cause.message}` : 'it cannot be read' },
      { cause },
    );
  }
}

/** packageVerbs: package add, list. */
export function packageVerbs(verbs: Verbs): void {
  const group = verbs.group('package', 'what is pushed');
  verbs.add(
    group,
    'add <file>',
    'take in a package: a JSON file that names a bootstrap and a payload beside it (docs/packages.md)',
    ['pushpoint package add our-agent.json --data ./p01'],
    (context, _options, file) =>
      context.withApi(async (api) => {
        const definition = readDefinition(file!);
        const names = [
          ...new Set(
            [definition.bootstrap?.file, definition.payload?.file].filter((n): n is string => typeof n === 'string' && n !== ''),
          ),
        ];
        const paths = names.map((name) => ({ name, path: resolve(dirname(file!), name) }));
        for (const { path } of paths) sizeOf(path);
        const progress = new Progress('uploading');
        const files: Stored[] = [];
        for (const [i, { name, path }] of paths.entries()) {
          progress.update(i, paths.length, name);
          files.push({ ...(await api.upload<Stored>('/content', path)), name });
        }
        progress.end();
        const made = await api.send<{ name: string; version: string }>('POST', '/packages', { definition, files });
        if (context.json) printJson(made);
        else print(`Package ${made.name} ${made.version} added (${files.map((f) => `${f.name}: ${f.size} bytes`).join(', ')}).`);
        return EXIT.ok;
      }),
  );
  verbs.add(group, 'list', 'the packages', ['pushpoint package list --data ./p01'], (context) =>
    context.withApi(async (api) => {
      const { items } = await api.get<{ items: { name: string; version: string; platform: string; isDefault?: boolean }[] }>(
        '/packages',
      );
      if (context.json) printJson({ items });
      else
        table(
          ['NAME', 'VERSION', 'PLATFORM', 'DEFAULT'],
          items.map((p) => [p.name, p.version, p.platform, p.isDefault ? 'yes' : '']),
        );
      return EXIT.ok;
    }),
  );
}
