import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { catalogue, PushpointError, raise, type Code } from '#base/errors';

const top = new URL('../..', import.meta.url).pathname;
const page = readFileSync(join(top, 'docs/errors.md'), 'utf8');
const codes = Object.keys(catalogue) as Code[];

test('every error of the catalogue stands in docs/errors.md with its cause, remedy and worth of another try', () => {
  for (const code of codes) {
    const start = page.indexOf(`### ${code}\n`);
    assert.notEqual(start, -1, `docs/errors.md has no section ${code}; run npm run docs:errors`);
    const section = page.slice(start, page.indexOf('\n### ', start + 1) === -1 ? undefined : page.indexOf('\n### ', start + 1));
    for (const text of [
      catalogue[code].cause,
      catalogue[code].remedy,
      `again: ${catalogue[code].again}`,
      catalogue[code].message,
    ]) {
      assert.ok(section.includes(text), `docs/errors.md, ${code}: «${text}» is missing; run npm run docs:errors`);
    }
  }
});

test('docs/errors.md has no error that is not in the catalogue', () => {
  const stale = [...page.matchAll(/^### (PP_\w+)$/gm)].map((m) => m[1]!).filter((code) => !(code in catalogue));
  assert.deepEqual(stale, []);
});

test('every error of the catalogue is raised somewhere', () => {
  const code = globSync(['src/**/*.ts', 'client/**/*.ts', 'lab/**/*.ts'], { cwd: top })
    .filter((f) => !f.includes('base/errors/catalogue'))
    .map((f) => readFileSync(join(top, f), 'utf8'))
    .join('\n');
  assert.deepEqual(
    codes.filter((c) => !code.includes(`'${c}'`)),
    [],
  );
});

test('an error fills its places and never shows a place that was not filled', () => {
  const error = raise('PP_NET_SILENT', { address: '127.0.0.1', port: 445, ms: 2000 });
  assert.ok(error instanceof PushpointError);
  assert.equal(error.message, '127.0.0.1:445 did not answer within 2000 ms');
  assert.equal(error.win32, 53);
  assert.equal(error.again, 'retry');
  assert.equal(error.name, 'Unreachable');
});
