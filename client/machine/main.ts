import { spawnSync } from 'node:child_process';
import { main } from '#client/agent';
import { posixHost } from './posix-host.ts';
import { clearRuntimes } from './runtimes.ts';
import type { Run } from './windows-facts.ts';
import { windowsHost } from './windows-host.ts';

/**
 * The agent as a program of its own, one file for Windows and Linux: `node CcmExec.mjs`, `… status [--json]`, `… farewell`. SIGTERM and SIGINT
 * stop it; on Windows, where a service has no signals, the end of its standard input does, which CcmExec.exe holds. PUSHPOINT_ROOT is a
 * folder that stands for `/`.
 */
const stop = new AbortController();
const told = () => stop.abort(new Error('the service was told to stop'));
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, told);

const PATIENCE_MS = 30_000;

const run: Run = (program, args, input) => {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    timeout: PATIENCE_MS,
    windowsHide: true,
    ...(input && { input }),
  });
  if (error) throw error;
  return { status: status ?? -1, out: `${stdout.toString('utf8')}${stderr.toString('utf8')}` };
};

const args = process.argv.slice(2);
if (process.platform === 'win32') {
  const isService = args.length === 0;
  if (isService) for (const event of ['end', 'close', 'error']) process.stdin.once(event, told).resume();
  const modulePath = process.argv[1] ?? '';
  const host = windowsHost({ signal: stop.signal, modulePath, run, local: (path) => path });
  // What cannot be taken away now can be at the next start.
  if (isService) await clearRuntimes(host, process.execPath).catch(() => {});
  process.exitCode = await main(host, args);
  // Standard input is still open where the agent ends by itself.
  if (isService) process.exit();
} else {
  process.exitCode = await main(posixHost(stop.signal, process.env['PUSHPOINT_ROOT'] ?? ''), args);
}
