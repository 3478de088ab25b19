import { main } from '#client/agent';
import { posixHost } from './posix-host.ts';

/**
 * The agent as a program of its own, on a system that is not Windows: `node CcmExec.mjs`, `… status [--json]`, `… farewell`. SIGTERM and
 * SIGINT stop it. PUSHPOINT_ROOT is a folder that stands for `/`.
 */
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => stop.abort(new Error('the service was told to stop')));
process.exitCode = await main(posixHost(stop.signal, process.env['PUSHPOINT_ROOT'] ?? ''), process.argv.slice(2));
