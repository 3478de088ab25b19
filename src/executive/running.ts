import { DataFolder, type Running } from './data-folder.ts';

/** readRunning is what `run/server.json` of a data folder says, if a live process wrote it. */
export function readRunning(data: string): Running | undefined {
  const running = new DataFolder(data).readRunning();
  return running && isAlive(running.pid) ? running : undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * isServing asks whether the process that server.json names answers at its address. After a power cut or in a container the number of the
 * process that wrote it belongs to another one, so a live process alone proves nothing.
 */
export async function isServing(running: Running): Promise<boolean> {
  try {
    const answer = await fetch(`${running.console}/healthz`, { signal: AbortSignal.timeout(5000), redirect: 'manual' });
    return answer.ok && ((await answer.json()) as { ok?: boolean }).ok === true;
  } catch {
    return false;
  }
}
