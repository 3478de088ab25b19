import { usage } from '../failure.ts';
import { EXIT, note, print, printJson, printText, table } from '../output.ts';
import { numberOption, type Verbs } from '../verb.ts';

interface ReportJson {
  name: string;
  title: string;
  family: string;
  says: string;
  parameters: string[];
  days?: number;
  columns: { name: string; means: string }[];
}

type Row = Record<string, string | number | boolean | null>;

interface RunJson {
  report: ReportJson;
  items: Row[];
  next?: string;
}

interface RunOptions {
  site?: string;
  collection?: string;
  days?: number;
  csv?: boolean;
  limit?: number;
  cursor?: string;
}

/** A table on a screen has so many rows where nobody asks for more; a file has all of them. */
const ROWS = 100;

/** reportVerbs: report list, show, run. */
export function reportVerbs(verbs: Verbs): void {
  const report = verbs.group('report', 'reports: what became of pushes, deployments, assignments, clients');
  verbs.add(report, {
    name: 'list',
    does: 'the reports there are, and what they can be narrowed to',
    examples: ['pushpoint report list --data ./p01'],
    run: (context) =>
      context.withApi(async (api) => {
        const { items } = await api.get<{ items: ReportJson[] }>('/reports');
        if (context.json) printJson({ items });
        else
          table(
            ['NAME', 'TAKES', 'TITLE'],
            items.map((one) => [one.name, takes(one), `${one.family}: ${one.title}`]),
          );
        return EXIT.ok;
      }),
  });
  verbs.add(report, {
    name: 'show <name>',
    does: 'what a report says, and what its columns mean',
    examples: ['pushpoint report show push-status-summary --data ./p01'],
    run: (context, _options, name) =>
      context.withApi(async (api) => {
        const { items } = await api.get<{ items: ReportJson[] }>('/reports');
        const one = items.find((found) => found.name === name.toLowerCase());
        if (!one) throw usage(`there is no report ${name}; report list has those there are`);
        if (context.json) printJson(one);
        else {
          print(`${one.family}: ${one.title}`);
          print(`${one.says} Takes ${takes(one)}.`);
          print();
          table(
            ['COLUMN', 'MEANS'],
            one.columns.map((column) => [column.name, column.means]),
          );
        }
        return EXIT.ok;
      }),
  });
  verbs
    .add<RunOptions>(report, {
      name: 'run <name>',
      does: `run a report: a table of the first ${ROWS} rows, or all of it with --csv or --json (docs/reports.md)`,
      examples: [
        'pushpoint report run push-status-summary --site P01 --data ./p01',
        'pushpoint report run assigned-not-installed --csv --data ./p01 > missing.csv',
        'pushpoint report run not-reporting --days 30 --collection "All Windows Servers" --json --data ./p01',
      ],
      run: (context, { csv, limit, cursor, site, collection, days }, name) => {
        if (csv && context.json) throw usage('report run gives --csv or --json, not both');
        if (csv && (limit !== undefined || cursor !== undefined))
          throw usage('--csv gives the whole report, so it takes no --limit and no --cursor');
        const wish = { site, collection, days };
        const path = `/reports/${encodeURIComponent(name)}`;
        return context.withApi(async (api) => {
          if (csv) await printFile(api.file(`${path}/csv`, wish));
          else if (context.json) printJson(await api.list<Row>(path, wish, { limit, cursor }));
          else {
            const page = await api.get<RunJson>(path, { ...wish, limit: limit ?? ROWS, cursor });
            showTable(page.report, page.items);
            if (page.next) note(`there are more rows: --csv has all of them, --cursor ${page.next} the next ones`);
          }
          return EXIT.ok;
        });
      },
    })
    .option('--site <code>', 'only of this site')
    .option('--collection <name>', 'only machines of this collection')
    .addOption(numberOption('--days <n>', 'how many days back it looks', 1, 3650))
    .option('--csv', 'all rows as CSV (RFC 4180), safe to open in a spreadsheet')
    .addOption(numberOption('--limit <n>', 'one page of this many', 1, 1000))
    .option('--cursor <text>', 'the page after the one whose `next` this was');
}

async function printFile(parts: AsyncIterable<string>): Promise<void> {
  for await (const part of parts) if (!(await printText(part))) return;
}

function takes({ parameters, days }: ReportJson): string {
  return parameters.map((name) => (name === 'days' ? `days (${days})` : name)).join(', ');
}

/** What no row says anything about is left out, so that a line fits. */
function showTable({ columns, title }: ReportJson, rows: Row[]): void {
  const shown = columns.filter(({ name }) => rows.length === 0 || rows.some((row) => cell(row[name]) !== ''));
  table(
    shown.map(({ name }) => name.replace(/([a-z])([A-Z])/g, '$1 $2').toUpperCase()),
    rows.map((row) => shown.map(({ name }) => cell(row[name]))),
    `${title}: no rows`,
  );
}

function cell(value: Row[string] | undefined): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return String(value);
}
