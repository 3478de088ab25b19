import { isCode, raise } from '#base/errors';
import { Download } from '#client/download';
import { folderOf, joinPath, layout, readInstalled, type TargetHost } from '#client/host';
import { ClientLog } from '#client/log';
import { Reporter } from '#client/report';
import { readMobileClient, tokenKeyOf, writeMobileClient, type MobileClient } from '#messages';
import { clearAway, handOver, installAgent, noteTaken, runInstaller, uninstall } from './install.ts';
import { readOptions, type SetupOptions } from './options.ts';
import { RETURN, outcomeOf } from './outcome.ts';
import { startService, stopService } from './services.ts';

/** The largest payload this bootstrap takes; it holds the file in memory while it checks it. */
const LARGEST_PAYLOAD = 536_870_912;
/** What must be free beside the payload itself, in part and in place. */
const SPARE_BYTES = 10_000_000;

/**
 * main is ccmsetup: it reads the mobileclient.tcf beside it, fetches the client from the management points, checks it, installs it, starts
 * it, tells the site, and removes its own service. Returns 0, 6, 7, 8, 9 or 10 (facts D2). It may be run again at any time.
 */
export async function main(host: TargetHost, args: string[]): Promise<number> {
  const log = new ClientLog(host, layout.setupLog, 'ccmsetup');
  log.info(`==========[ ccmsetup started, ${args.length} argument(s) ]==========`);
  const release = host.mutex(layout.setupMutex);
  if (!release) {
    log.error('Another ccmsetup is running');
    return finish(log, RETURN.running);
  }
  try {
    return finish(log, await run(host, log, args));
  } finally {
    release();
  }
}

async function finish(log: ClientLog, code: number): Promise<number> {
  log.info(`CcmSetup is exiting with return code ${code}`);
  await log.flush();
  return code;
}

async function run(host: TargetHost, log: ClientLog, args: string[]): Promise<number> {
  let reporter: Reporter | undefined;
  try {
    // The file first: a wrong command line is reported too, where possible.
    const config = await configOf(host, log, args);
    if (config instanceof Error) {
      readOptions(args);
      if (!isUninstall(args)) throw config;
    } else {
      reporter = reporterOf(host, log, config);
    }
    const options = readOptions(args);
    if (options.uninstall) return await remove(host, log);
    const code = await install(host, log, config as MobileClient, options, reporter!);
    await removeSelf(host, log);
    return code;
  } catch (error) {
    return failed(host, log, reporter, error);
  }
}

/** reporterOf reports for the push that brought this file: signed with its token where it has one. */
function reporterOf(host: TargetHost, log: ClientLog, config: MobileClient): Reporter {
  const { registration, certificatePin, fallbackStatusPoint, managementPoints, payload, site } = config;
  return new Reporter(host, log, {
    site,
    clientVersion: payload.version,
    managementPoints,
    fallbackStatusPoints: fallbackStatusPoint === undefined ? [] : [fallbackStatusPoint],
    ...(certificatePin !== undefined && { pin: certificatePin }),
    ...(registration && { signer: { token: registration.tokenId, tokenKey: tokenKeyOf(registration.token) } }),
  });
}

const isUninstall = (args: readonly string[]) => args.some((argument) => /^[/-]uninstall$/i.test(argument));

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
  await checkPayload(host, config);
  const download = new Download(host, log, config.payload, {
    points: options.points.length > 0 ? options.points : config.managementPoints,
    retryMinutes: options.retryMinutes,
    downloadMinutes: options.downloadMinutes,
    pin: config.certificatePin,
    onWait: async () => void (await reporter.send(101)),
  });
  const bytes = await download.run();
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
  await clearAway(host);
  log.info('Installation succeeded');
  return code;
}

async function checkPayload(host: TargetHost, { payload }: MobileClient): Promise<void> {
  if (payload.size > LARGEST_PAYLOAD)
    throw raise('PP_SETUP_UNSUPPORTED', { why: `the payload is larger than ${LARGEST_PAYLOAD} bytes` });
  const free = await host.freeBytes();
  const needed = payload.size * 2 + SPARE_BYTES;
  if (free < needed) throw raise('PP_SETUP_DISK_FULL', { free, needed });
}

/** scrub takes the token out of the file beside ccmsetup: it did its work, and files stay for years. */
async function scrub(host: TargetHost, config: MobileClient): Promise<void> {
  if (!config.registration) return;
  const { registration: _, ...plain } = config;
  await host.writeFile(joinPath(folderOf(host.modulePath), layout.configFile), writeMobileClient(plain));
}

async function remove(host: TargetHost, log: ClientLog): Promise<number> {
  await uninstall(host, log);
  log.info('The client is removed');
  await removeSelf(host, log);
  return RETURN.ok;
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
  await removeSelf(host, log);
  return exit;
}
