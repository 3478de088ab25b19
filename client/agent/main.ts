import { raise } from '#base/errors';
import { layout, readInstalled, type TargetHost } from '#client/host';
import { ClientLog } from '#client/log';
import { readMobileClient } from '#messages';
import { Agent } from './agent.ts';
import { Identity } from './identity.ts';
import { status, statusLines, type AgentStatus } from './status.ts';

/** What Windows says of a file that is not there; the service ends with it. */
const ERROR_FILE_NOT_FOUND = 2;

/**
 * main is the client service, CcmExec: it runs until host.signal aborts and returns 0. With `status` it prints what the running agent last
 * said of itself (`--json` for programs), and returns 0 when the client is registered, 1 when it is not.
 */
export async function main(host: TargetHost, args: string[]): Promise<number> {
  if (args[0] === 'status') return printStatus(host, args.includes('--json'));
  const log = new ClientLog(host, layout.agentLog, 'CcmExec');
  try {
    const bytes = await host.readFile(layout.agentConfig);
    if (!bytes) throw raise('PP_CLIENT_NOT_INSTALLED', { file: layout.agentConfig });
    const config = readMobileClient(bytes);
    const version = (await readInstalled(host))?.version ?? config.payload.version;
    log.info(`Client ${version} starts`);
    await new Agent(host, log, config, await Identity.load(host), version).run();
    log.info('Client stops');
    return 0;
  } catch (error) {
    if (host.signal.aborted) return 0;
    log.error(error instanceof Error ? error.message : String(error));
    return ERROR_FILE_NOT_FOUND;
  } finally {
    await log.flush();
  }
}

async function printStatus(host: TargetHost, json: boolean): Promise<number> {
  const value: AgentStatus = (await status(host)) ?? { state: 'stopped', version: '', site: '' };
  if (json) host.print(JSON.stringify(value));
  else for (const line of statusLines(value)) host.print(line);
  return value.state === 'registered' ? 0 : 1;
}
