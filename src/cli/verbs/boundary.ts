import type { Command } from 'commander';
import type { Api } from '../api.ts';
import { usage } from '../failure.ts';
import { linesFrom } from '../names.ts';
import { EXIT, note, print, printDone, printJson, table } from '../output.ts';
import { DRY_RUN, type Context, type Verbs } from '../verb.ts';

interface BoundaryJson {
  boundary: string;
  kind: string;
  value: string;
  site: string;
  roaming: boolean;
  siteRemoved?: boolean;
}

interface OverlapJson {
  boundary: string;
  site: string;
  other: string;
  otherSite: string;
  why: string;
  contradictory: boolean;
}

interface WhichJson {
  address: string;
  site: string | null;
  boundary: string | null;
  why: string;
  overlaps: { boundary: string; site: string; roaming: boolean; addresses: string }[];
  content: { site: string; boundary: string; roaming: boolean } | null;
}

interface ReportJson {
  boundaries: number;
  overlaps: OverlapJson[];
  moreOverlaps: boolean;
  gaps: { subnet: string; addresses: number; machines: number; unassigned: number; examples: string[] }[];
  gapCount: number;
  machines: number;
  unassigned: number;
}

const roleOf = (roaming: boolean) => (roaming ? 'roaming' : 'site');

/** boundaryVerbs: boundary add, remove, list, which, report. */
export function boundaryVerbs(verbs: Verbs): void {
  const boundary = verbs.group('boundary', 'which addresses belong to which site');
  addVerb(verbs, boundary);
  removeVerb(verbs, boundary);
  verbs
    .add<{ site?: string }>(boundary, {
      name: 'list',
      does: 'the boundaries, in the order in which they count',
      examples: ['pushpoint boundary list --data ./p01', 'pushpoint boundary list --site S01 --json'],
      run: (context, { site }) =>
        context.withApi(async (api) => {
          const { items } = await api.get<{ items: BoundaryJson[] }>('/boundaries', { site });
          if (context.json) printJson({ items, next: null });
          else
            table(
              ['KIND', 'VALUE', 'SITE', 'ROLE'],
              items.map((b) => [b.kind, b.value, b.siteRemoved ? `${b.site} (removed)` : b.site, roleOf(b.roaming)]),
              "no boundaries yet, so every machine counts as this site's own: pushpoint boundary add KIND:VALUE",
            );
          if (!context.json && items.some(({ siteRemoved }) => siteRemoved))
            note('boundaries of a site that was removed assign nobody; pushpoint boundary remove takes them away');
          return EXIT.ok;
        }),
    })
    .option('--site <code>', 'only those of this site');
  verbs.add(boundary, {
    name: 'which <address>',
    does: 'to which site an address belongs, and why',
    examples: ['pushpoint boundary which 10.1.2.3 --data ./p01', 'pushpoint boundary which 2001:db8::7 --json'],
    run: (context, _options, address) =>
      context.withApi(async (api) => {
        const which = await api.get<WhichJson>('/boundaries/which', { address });
        if (context.json) printJson(which);
        else printWhich(which);
        return EXIT.ok;
      }),
  });
  verbs.add(boundary, {
    name: 'report',
    does: 'boundaries that overlap, and networks in which machines are known and that no boundary holds',
    examples: ['pushpoint boundary report --data ./p01', 'pushpoint boundary report --json | jq .gaps'],
    run: (context) =>
      context.withApi(async (api) => {
        const report = await api.get<ReportJson>('/boundaries/report');
        if (context.json) printJson(report);
        else printReport(report);
        return EXIT.ok;
      }),
  });
}

interface AddOptions {
  site?: string;
  roaming?: boolean;
  file?: string;
  dryRun?: boolean;
}

function addVerb(verbs: Verbs, boundary: Command): void {
  verbs
    .add<AddOptions>(boundary, {
      name: 'add [boundaries...]',
      does: 'say which addresses belong to a site: subnet:NETWORK/LENGTH, range:FIRST-LAST, ipv6:PREFIX/LENGTH, adsite:NAME; all of them or none',
      examples: [
        'pushpoint boundary add subnet:10.1.0.0/16 --data ./p01',
        'pushpoint boundary add subnet:10.1.0.0/255.255.0.0 --site S01 --data ./p01',
        'pushpoint boundary add range:10.9.0.10-10.9.0.99 adsite:Berlin ipv6:2001:db8:1::/48 --data ./p01',
        'pushpoint boundary add -f boundaries.txt --roaming --dry-run --data ./p01',
      ],
      async run(context, options, ...given) {
        const boundaries = [...given, ...(await linesFrom(options.file))];
        if (!boundaries.length) throw usage('boundary add needs at least one KIND:VALUE, or -f FILE');
        return context.withApi((api) => addTo(api, context, options, boundaries));
      },
    })
    .option('--site <code>', 'the site they belong to (default: this one)')
    .option('--roaming', 'only locate content there; machines are not assigned by them')
    .option('-f, --file <file>', 'boundaries, one a line; - reads standard input')
    .option(...DRY_RUN);
}

async function addTo(api: Api, context: Context, { site, roaming, dryRun }: AddOptions, boundaries: string[]): Promise<number> {
  const added = await api.send<{ items: BoundaryJson[]; overlaps: OverlapJson[] }>(
    'POST',
    '/boundaries',
    { boundaries, site, roaming: roaming === true },
    { dryRun },
  );
  if (context.json) printJson(added);
  else {
    const { items, overlaps } = added;
    const what = items.length === 1 ? items[0]!.boundary : `${items.length} boundaries`;
    const role = `${roleOf(roaming === true)} ${items.length === 1 ? 'boundary' : 'boundaries'}`;
    printDone(`${what} added as ${role} of site ${items[0]!.site}.`, dryRun);
    if (items[0]!.siteRemoved) note(`site ${items[0]!.site} was removed: its boundaries assign nobody until it has joined again`);
    for (const o of overlaps.filter(({ contradictory }) => contradictory)) note(overlapText(o));
  }
  return EXIT.ok;
}

function overlapText(o: OverlapJson): string {
  return `${o.boundary} of site ${o.site} and ${o.other} of site ${o.otherSite} overlap; there ${o.boundary} counts: ${o.why}`;
}

function removeVerb(verbs: Verbs, boundary: Command): void {
  verbs
    .add<{ site?: string; dryRun?: boolean }>(boundary, {
      name: 'remove <boundary>',
      does: 'take a boundary away; machines that it assigned stay where they are until device reassign',
      examples: ['pushpoint boundary remove subnet:10.1.0.0/16 --data ./p01'],
      run: (context, { site, dryRun }, text) =>
        context.withApi(async (api) => {
          const path = `/boundaries/${encodeURIComponent(text)}`;
          const removed = await api.send<{ removed: string; site: string }>('DELETE', path, {}, { site, dryRun });
          if (context.json) printJson(removed);
          else printDone(`${removed.removed} of site ${removed.site} removed.`, dryRun);
          return EXIT.ok;
        }),
    })
    .option('--site <code>', 'the site it belongs to, where several have it')
    .option(...DRY_RUN);
}

function printWhich(which: WhichJson): void {
  print(`${which.address} belongs to ${which.site === null ? 'no site' : `site ${which.site} by ${which.boundary}`}`);
  print(`  ${which.why}`);
  for (const o of which.overlaps) print(`  also in ${o.boundary} of site ${o.site} (${roleOf(o.roaming)}, ${o.addresses})`);
  if (which.content?.roaming) print(`  content is found at site ${which.content.site} (roaming ${which.content.boundary})`);
}

function printReport(report: ReportJson): void {
  print(`${report.boundaries} boundaries; ${report.unassigned} of ${report.machines} machines are assigned to no site.`);
  for (const overlap of report.overlaps) print(`${overlap.contradictory ? 'contradiction' : 'overlap'}: ${overlapText(overlap)}`);
  if (report.moreOverlaps) note(`there are more overlaps than these ${report.overlaps.length}`);
  if (!report.gaps.length) return;
  print('');
  table(
    ['IN NO BOUNDARY', 'MACHINES', 'WITHOUT A SITE', 'FOR EXAMPLE'],
    report.gaps.map((g) => [g.subnet, g.machines, g.unassigned, g.examples.join(', ')]),
  );
  if (report.gapCount > report.gaps.length) note(`these are the largest of ${report.gapCount}`);
}
