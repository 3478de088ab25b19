import { writeFileSync } from 'node:fs';
import { catalogue, type Entry } from '#base/errors';

/** Writes docs/errors.md from the error catalogue: `npm run docs:errors`. */
const again = {
  retry: 'tried again every hour, for a week',
  wait: 'waits until somebody or the machine changes something',
  never: 'not tried again',
};
const lines = [
  '# Every error, its cause and its remedy',
  '',
  'Written from the catalogue in `src/base/errors` by `npm run docs:errors`; a test holds the two together. `Win32` is the number that stands as',
  '*Last Error Code* in a CCR file. CCM decides by `again` alone: `retry` = hourly for a week, `wait` = until a human or the machine changes',
  'something, `never` = the CCR is skipped or failed at once.',
  '',
];
for (const [code, entry] of Object.entries<Entry>(catalogue).sort(([a], [b]) => a.localeCompare(b))) {
  lines.push(
    `### ${code}`,
    '',
    `> ${entry.message}`,
    '',
    `- Win32 ${entry.win32 ?? 'none'} · ${entry.origin} · again: ${entry.again} (${again[entry.again]})`,
  );
  lines.push(`- **Cause.** ${entry.cause}`, `- **Remedy.** ${entry.remedy}`, '');
}
writeFileSync(new URL('../docs/errors.md', import.meta.url), lines.join('\n'));
