import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { need } from '#test/need';

/** The one parser of the Windows client that reads what comes from a network, under the address and undefined-behaviour sanitizers. */

const SHIM = fileURLToPath(new URL('../support/native-shim/', import.meta.url));
const TIMES = String(Math.min(Number(process.env['PUSHPOINT_FUZZ'] ?? 200_000), 5_000_000));
const SEED = process.env['PUSHPOINT_FUZZ_SEED'] ?? '88172645463325252';

test(`damaged answers (${TIMES}, seed ${SEED}) never lead the JSON reader of the Windows client astray`, need('gcc'), (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ppj-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const program = join(folder, 'fuzz');
  const flags = [
    '-g',
    '-O1',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-fsanitize=address,undefined',
    '-fno-sanitize-recover=all',
    '-I',
    SHIM,
  ];
  const built = spawnSync('gcc', [...flags, '-o', program, join(SHIM, 'fuzz-json.c')], { encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
  const ran = spawnSync(program, [TIMES, SEED], { encoding: 'utf8' });
  assert.equal(ran.status, 0, ran.stderr);
  const [, whole, octets] = /^\d+ texts, (\d+) whole, (\d+) octets read$/m.exec(ran.stdout) ?? [];
  assert.ok(Number(whole) > Number(TIMES) / 20 && Number(octets) > 0, 'some are whole, else nothing was tried');
});
