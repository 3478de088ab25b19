import { isCode, raise } from '#base/errors';
import { publishedPoints } from '#client/contact';
import { readProperties } from '#client/properties';
import { folderOf, joinPath, layout, readInstalled, type TargetHost } from '#client/host';
import { ClientLog } from '#client/log';
import { Reporter } from '#client/report';
import { readMobileClient, SIGNATURE_HEADERS, tokenKeyOf, writeMobileClient, type MobileClient } from '#messages';
import { clearAway, handOver, installAgent, noteTaken, runInstaller, uninstall } from './install.ts';
import { checkMachine, fetchFile, installPrerequisites } from './check.ts';
import { readOptions, usage, type SetupOptions } from './options.ts';
import { RETURN, outcomeOf } from './outcome.ts';
import { startService, stopService } from './services.ts';

/**
 * main is ccmsetup: it reads the mobileclient.tcf beside it, fetches the client from the management points, checks it, installs it, starts
 * it, tells the site, and removes its own service. Returns 0, 6, 7, 8, 9 or 10 (facts D2). It may be run again at any time.
 */
export async function main(host: TargetHost, args: string[]): Promise<number> {
  const log = new ClientLog(host, layout.setupLog, 'ccmsetup');
  if (args.some((argument) => /^[/-]\?$/.test(argument))) {
    for (const line of usage) host.print(line);
    return RETURN.ok;
  }
  log.info(`==========[ ccmsetup started, ${args.length} argument(s) ]==========`);
  const release = host.mutex(layout.setupMutex);
  if (!release) {
    log.error('Another ccmsetup is running');
    return finish(log, RETURN.running);
  }
  try {
    const { code, isGone } = await run(host, log, args);
    await finish(log, code);
    // The last of ours, with this log and this program in it.
    if (isGone) host.removeAfter(layout.setupFolder);
    return code;
  } finally {
    release();
  }
}

async function finish(log: ClientLog, code: number): Promise<number> {
  log.info(`CcmSetup is exiting with return code ${code}`);
  await log.flush();
  return code;
}

/** Ended is how a run ended, and whether nothing of the client is to stay. */
interface Ended {
  code: number;
  isGone: boolean;
}

async function run(host: TargetHost, log: ClientLog, args: string[]): Promise<Ended> {
  let reporter: Reporter | undefined;
  try {
    // The file first: a wrong command line is reported too, where possible.
    const config = await configOf(host, log, args);
    if (!(config instanceof Error)) reporter = reporterOf(host, log, config);
    const options = readOptions(args);
    if (options.uninstall) {
      await uninstall(host, log);
      log.info('The client is removed');
      await removeSelf(host, log);
      return { code: RETURN.ok, isGone: true };
    }
    if (config instanceof Error) throw config;
    const settled = settle(log, config, options);
    reporter = reporterOf(host, log, settled, reporter?.topicId);
    const code = await install(host, log, settled, options, reporter);
    await removeSelf(host, log);
    return { code, isGone: false };
  } catch (error) {
    return { code: await failed(host, log, reporter, error), isGone: false };
  }
}

/** settle lets properties of the command line have their say; sources are not mixed, so those of the file do not count then. */
function settle(log: ClientLog, config: MobileClient, { properties }: SetupOptions): MobileClient {
  if (properties === undefined) return config;
  log.info('Installation properties of the command line are used');
  const { site, points, fallbackStatusPoint } = readProperties(properties);
  return {
    ...config,
    properties,
    ...(site !== undefined && /^[A-Z0-9]{3}$/.test(site) && { site }),
    managementPoints: [...new Set([...points, ...config.managementPoints])],
    ...(fallbackStatusPoint !== undefined && { fallbackStatusPoint }),
  };
}

/** reporterOf reports for the push that brought this file: signed with its token where it has one. */
function reporterOf(host: TargetHost, log: ClientLog, config: MobileClient, topicId?: string): Reporter {
  const { registration, certificatePins, fallbackStatusPoint, managementPoints, payload, site } = config;
  return new Reporter(host, log, {
    site,
    clientVersion: payload.version,
    managementPoints,
    fallbackStatusPoints: fallbackStatusPoint === undefined ? [] : [fallbackStatusPoint],
    ...(certificatePins !== undefined && { pins: certificatePins }),
    ...(registration && { signer: { token: registration.tokenId, tokenKey: tokenKeyOf(registration.token) } }),
    ...(topicId !== undefined && { topicId }),
  });
}

/** configOf gives the file, or the error that says why there is none. */
async function configOf(host: TargetHost, log: ClientLog, args: readonly string[]): Promise<MobileClient | Error> {
  const named =
    args.map((argument) => /^[/-]config:(.+)$/i.exec(argument)?.[1]).find((value) => value !== undefined) ?? layout.configFile;
  const path = named.includes('\\') ? named : joinPath(folderOf(host.modulePath), named);
  try {
    const bytes = await host.readFile(path);
    if (!bytes) throw raise('PP_TCF_MALFORMED', { why: `${path} is not there` });
    const config = readMobileClient(bytes);
    log.info(`Site ${config.site}, management points ${config.managementPoints.join('; ')}, client ${config.payload.version}`);
    return forThisMachine(host, log, config);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** forThisMachine drops a token that was made for another machine: a copied file must not let one register as the other. */
function forThisMachine(host: TargetHost, log: ClientLog, config: MobileClient): MobileClient {
  const { registration, ...plain } = config;
  if (!registration) return plain;
  const short = (name: string) => name.split('.')[0]!.slice(0, 15).toUpperCase();
  if (short(registration.machine) === short(host.name)) return config;
  log.warn(`The registration token was made for ${registration.machine}; it is not used`);
  return plain;
}

async function install(
  host: TargetHost,
  log: ClientLog,
  config: MobileClient,
  options: SetupOptions,
  reporter: Reporter,
): Promise<number> {
  if (options.logon && (await host.services.status(layout.agentService)) !== undefined) {
    log.info('A client is installed and /logon was given; nothing is done');
    await reporter.send(104, { exitCode: RETURN.ok });
    return RETURN.ok;
  }
  await reporter.send(100);
  const installed = await readInstalled(host);
  const present = installed?.sha256 === config.payload.sha256 && (await host.services.status(layout.agentService)) !== undefined;
  if (present && !options.force) {
    log.info(`Client ${config.payload.version} is installed already`);
    await handOver(host, config);
    await noteTaken(host, config, installed);
    // A new token means that the site wants to hear from this client: started again, it registers at once.
    if (config.registration) await stopService(host, layout.agentService);
    await startService(host, layout.agentService);
    return succeeded(host, log, config, reporter, false);
  }
  await checkMachine(host, config, options);
  const rules = {
    points: options.points.length > 0 ? options.points : config.managementPoints,
    retryMinutes: options.retryMinutes,
    downloadMinutes: options.downloadMinutes,
    pins: config.certificatePins,
    ...(config.registration && { names: { [SIGNATURE_HEADERS.token]: config.registration.tokenId } }),
    published: () => publishedPoints(host, config.site, readProperties(config.properties).dnsSuffix),
    onWait: async () => void (await reporter.send(101)),
  };
  const bring = { host, log, options, rules };
  await installPrerequisites(bring, config);
  const bytes = await fetchFile(bring, config.payload);
  const { command } = config.payload;
  const restart =
    command !== undefined
      ? await runInstaller(host, log, config, command, bytes)
      : await installAgent(host, log, config, bytes).then(() => false);
  return succeeded(host, log, config, reporter, restart);
}

async function succeeded(
  host: TargetHost,
  log: ClientLog,
  config: MobileClient,
  reporter: Reporter,
  restart: boolean,
): Promise<number> {
  const code = restart ? RETURN.reboot : RETURN.ok;
  await reporter.send(restart ? 401 : 400, { exitCode: code });
  await scrub(host, config);
  await clearAway(host, config);
  log.info('Installation succeeded');
  return code;
}

/** scrub takes the token out of the file beside ccmsetup: it did its work, and files stay for years. */
async function scrub(host: TargetHost, config: MobileClient): Promise<void> {
  if (!config.registration) return;
  const { registration: _, ...plain } = config;
  await host.writeFile(joinPath(folderOf(host.modulePath), layout.configFile), writeMobileClient(plain));
}

/** removeSelf marks the temporary service for deletion; it goes when this run ends. */
async function removeSelf(host: TargetHost, log: ClientLog): Promise<void> {
  try {
    if ((await host.services.status(layout.setupService)) !== undefined) await host.services.remove(layout.setupService);
  } catch (error) {
    log.warn(`Service ${layout.setupService} could not be deleted: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function failed(host: TargetHost, log: ClientLog, reporter: Reporter | undefined, error: unknown): Promise<number> {
  // Told to stop: the service stays, so that it goes on when the machine starts again.
  if (host.signal.aborted) {
    log.warn(raise('PP_SETUP_STOPPED').message);
    return RETURN.error;
  }
  const { state, exit } = outcomeOf(error);
  const detail = error instanceof Error ? error.message : String(error);
  log.error(detail);
  await reporter?.send(isCode(error, 'PP_SETUP_SERVICE') && error.params['doing'] !== 'created' ? 313 : state, {
    exitCode: exit,
    detail,
  });
  // After the restart that it waits for, the service starts it again.
  if (exit !== RETURN.reboot) await removeSelf(host, log);
  return exit;
}
