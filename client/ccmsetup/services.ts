import { raise } from '#base/errors';
import type { ServiceState, TargetHost } from '#client/host';

const POLL_MS = 250;
const PATIENCE_MS = 60_000;

const why = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** reach waits until a service is in that state, a minute at most. */
async function reach(host: TargetHost, service: string, wanted: ServiceState, doing: string): Promise<void> {
  const end = host.clock.monotonic() + PATIENCE_MS;
  for (;;) {
    const state = await host.services.status(service);
    if (state === wanted) return;
    const hopeless = state === undefined || (wanted === 'running' && state === 'stopped');
    if (hopeless || host.clock.monotonic() > end)
      throw raise('PP_SETUP_SERVICE', { service, doing, why: `it is ${state ?? 'not there'}` });
    await host.clock.sleep(POLL_MS, host.signal);
  }
}

/** startService starts a service unless it runs, and sees it running. */
export async function startService(host: TargetHost, service: string): Promise<void> {
  if ((await host.services.status(service)) === 'running') return;
  try {
    await host.services.start(service);
  } catch (cause) {
    throw raise('PP_SETUP_SERVICE', { service, doing: 'started', why: why(cause) }, { cause });
  }
  await reach(host, service, 'running', 'started');
}

/** How long a service that replaced another one is watched. */
const SETTLE_MS = 5_000;

/** staysRunning watches a service that was just started for a moment. */
export async function staysRunning(host: TargetHost, service: string): Promise<void> {
  const end = host.clock.monotonic() + SETTLE_MS;
  while (host.clock.monotonic() < end) {
    await host.clock.sleep(POLL_MS, host.signal);
    const state = await host.services.status(service);
    if (state !== 'running')
      throw raise('PP_SETUP_SERVICE', { service, doing: 'started', why: `it is ${state ?? 'not there'} again` });
  }
}

/** stopService stops a service if it is there and runs. */
export async function stopService(host: TargetHost, service: string): Promise<void> {
  const state = await host.services.status(service);
  if (state === undefined || state === 'stopped') return;
  try {
    if (state !== 'stop-pending') await host.services.stop(service);
  } catch (cause) {
    throw raise('PP_SETUP_SERVICE', { service, doing: 'stopped', why: why(cause) }, { cause });
  }
  await reach(host, service, 'stopped', 'stopped');
}

/** createService creates a service unless it is there. */
export async function createService(host: TargetHost, wish: Parameters<TargetHost['services']['create']>[0]): Promise<void> {
  if ((await host.services.status(wish.name)) !== undefined) return;
  try {
    await host.services.create(wish);
  } catch (cause) {
    throw raise('PP_SETUP_SERVICE', { service: wish.name, doing: 'created', why: why(cause) }, { cause });
  }
}
