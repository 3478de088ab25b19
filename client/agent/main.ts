import { proving } from '#client/certificate';
import { Contact } from '#client/contact';
import { sayFarewell } from '#client/farewell';
import type { TargetHost } from '#client/host';
import { Identity } from '#client/identity';
import { usualLog } from '#client/log';
import { Agent } from './agent.ts';
import { readConfig } from './config.ts';
import { Logs } from './logs.ts';
import { makeParts, provesSite } from './parts.ts';
import { productVersion } from './product.ts';
import { say } from './say.ts';
import { status, statusLines, type AgentStatus } from './status.ts';

/** What Windows says of a file that is not there; the service ends with it. */
const ERROR_FILE_NOT_FOUND = 2;

/**
 * main is the client service, CcmExec: it runs until host.signal aborts and returns 0. With `status` it prints what the running agent last
 * said of itself (`--json` for programs), and returns 0 when the client is registered, 1 when it is not. With `farewell` it tells the site that
 * the client is being removed, with `say-state` how its installation goes, for a bootstrap that cannot sign.
 */
export async function main(host: TargetHost, args: string[], product: string = productVersion): Promise<number> {
  if (args[0] === 'status') return printStatus(host, args.includes('--json'));
  if (args[0] === 'farewell') return farewell(host);
  if (args[0] === 'say-state') return say(host, args.slice(1));
  let logs = new Logs(host, usualLog());
  try {
    const config = await readConfig(host, product);
    const identity = await Identity.load(host);
    const { logLevel, logMaxSize: maxSize, logMaxHistory: maxHistory } = config.properties;
    const level = identity.memory.logLevel ?? logLevel;
    logs = new Logs(host, {
      ...usualLog(),
      ...(level !== undefined && { level }),
      ...(maxSize !== undefined && { maxSize }),
      ...(maxHistory !== undefined && { maxHistory }),
    });
    logs.exec.info(`Client ${config.version} (agent ${product}) starts`);
    await new Agent(makeParts(proving(host, config.properties, logs.exec), logs, config, identity)).run();
    logs.exec.info('Client stops');
    return 0;
  } catch (error) {
    if (host.signal.aborted) return 0;
    logs.exec.error(error instanceof Error ? error.message : String(error));
    return ERROR_FILE_NOT_FOUND;
  } finally {
    await logs.flush();
  }
}

async function printStatus(host: TargetHost, json: boolean): Promise<number> {
  const value: AgentStatus = (await status(host)) ?? { state: 'stopped', version: '', site: '' };
  if (json) host.print(JSON.stringify(value));
  else for (const line of statusLines(value)) host.print(line);
  return value.state === 'registered' ? 0 : 1;
}

async function farewell(plain: TargetHost): Promise<number> {
  try {
    const config = await readConfig(plain);
    const host = proving(plain, config.properties);
    const identity = await Identity.load(host);
    const points = [...new Set([...(identity.memory.managementPoints ?? []), ...config.tcf.managementPoints])];
    const contact = new Contact(host, config.tcf.certificatePins, { proves: (point) => provesSite({ config, identity }, point) });
    await sayFarewell({ host, identity, contact }, points, 'uninstall');
    return 0;
  } catch (error) {
    plain.print(error instanceof Error ? error.message : String(error));
    return 1;
  }
}
