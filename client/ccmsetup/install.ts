import { raise } from '#base/errors';
import { Contact, isProof } from '#client/contact';
import { sayFarewell } from '#client/farewell';
import { Identity } from '#client/identity';
import { readProperties } from '#client/properties';
import { joinPath, layout, writeJson, type Installed, type TargetHost } from '#client/host';
import type { ClientLog } from '#client/log';
import { readMobileClient, writeMobileClient, type MobileClient } from '#messages';
import { RESTART_CODES } from './check.ts';
import { createService, startService, staysRunning, stopService } from './services.ts';

/** handOver writes what the agent needs beside itself: where its points are, and the one-time token in a file of its own. */
export async function handOver(host: TargetHost, config: MobileClient): Promise<void> {
  const { registration, ...plain } = config;
  if (readProperties(config.properties).resetKey) await forgetKey(host);
  await host.writeFile(layout.agentConfig, writeMobileClient(plain));
  if (!registration) return;
  const token = { tokenId: registration.tokenId, token: registration.token, expires: registration.expires };
  await host.writeFile(layout.token, new TextEncoder().encode(JSON.stringify(token)), { secret: true });
}

/** forgetKey makes the agent make a new key when it starts, under the SMSID it had (RESETKEYINFORMATION=TRUE). */
async function forgetKey(host: TargetHost): Promise<void> {
  for (const path of [layout.key, layout.siteKey, layout.memory]) await host.remove(path);
}

/**
 * installAgent puts a payload that is the agent itself into its place. Every step may be repeated. An agent that was there keeps a copy
 * until the new one runs; if the new one does not start, the old one goes on and the installation has failed. The note that the client is
 * installed is written last.
 */
export async function installAgent(host: TargetHost, log: ClientLog, config: MobileClient, bytes: Uint8Array): Promise<void> {
  await host.mkdir(layout.agentFolder);
  await stopService(host, layout.agentService);
  const before = { file: await host.readFile(layout.agentFile), note: await host.readFile(layout.installed) };
  if (before.file) await host.writeFile(layout.agentBefore, before.file);
  // From here until the end the client counts as not installed, so that a run that is killed is done again.
  await host.remove(layout.installed);
  await host.writeFile(layout.agentFile, bytes);
  await handOver(host, config);
  await createService(host, {
    name: layout.agentService,
    displayName: 'SMS Agent Host',
    binaryPath: layout.agentFile,
    startType: 'auto',
  });
  log.info(`Starting service ${layout.agentService}`);
  try {
    await startService(host, layout.agentService);
    // A new agent that ends again at once would leave a machine without a client that had one.
    if (before.file) await staysRunning(host, layout.agentService);
  } catch (error) {
    if (before.file) await goBack(host, log, before.file, before.note);
    throw error;
  }
  await noteInstalled(host, config);
}

async function goBack(host: TargetHost, log: ClientLog, file: Uint8Array, note: Uint8Array | undefined): Promise<void> {
  log.warn('The new agent does not start; going back to the one before');
  try {
    await stopService(host, layout.agentService);
    await host.writeFile(layout.agentFile, file);
    await startService(host, layout.agentService);
    if (note) await host.writeFile(layout.installed, note);
  } catch (error) {
    log.error(`The agent before does not start either: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** runInstaller runs the package's own command; true when the machine has to be restarted. */
export async function runInstaller(
  host: TargetHost,
  log: ClientLog,
  config: MobileClient,
  command: string,
  bytes: Uint8Array,
): Promise<boolean> {
  if (!host.run) throw raise('PP_SETUP_UNSUPPORTED', { why: 'commands cannot be run on this machine' });
  await host.writeFile(joinPath(layout.setupFolder, config.payload.file), bytes);
  await handOver(host, config);
  log.info('Running the installer of the package');
  const code = await host.run(command, { folder: layout.setupFolder, signal: host.signal });
  log.info(`Installer ended with ${code}`);
  if (code !== 0 && !RESTART_CODES.has(code)) throw raise('PP_SETUP_INSTALLER', { code }, { win32: code });
  await noteInstalled(host, config);
  return RESTART_CODES.has(code);
}

const pushOf = ({ registration }: MobileClient) => (registration ? { tokenId: registration.tokenId } : {});

/** noteTaken notes that another push found this client there already and took it as its own. */
export async function noteTaken(host: TargetHost, config: MobileClient, installed: Installed): Promise<void> {
  if (config.registration) await writeJson(host, layout.installed, { ...installed, ...pushOf(config) });
}

async function noteInstalled(host: TargetHost, config: MobileClient): Promise<void> {
  const { version, sha256 } = config.payload;
  const note: Installed = {
    version,
    sha256,
    site: config.site,
    installedAt: host.clock.now().toISOString(),
    setup: host.modulePath,
    ...pushOf(config),
  };
  await host.registry?.set(layout.registryKey, { ProductVersion: version, AssignedSiteCode: config.site });
  await writeJson(host, layout.installed, note);
}

/** clearAway removes what only an installation in progress needs, of this run and of one that was killed. */
export async function clearAway(host: TargetHost, config?: MobileClient): Promise<void> {
  await host.remove(layout.agentBefore);
  for (const { file } of config?.prerequisites ?? []) await host.remove(joinPath(layout.setupFolder, file));
  for (const name of await host.list(layout.setupFolder)) {
    if (/\.part$/i.test(name)) await host.remove(joinPath(layout.setupFolder, name));
  }
}

/**
 * uninstall takes the client away: what the package's own installer put there, service, files, registry, and the SMSID. The site is told last,
 * with the key that is gone then. What this program still needs itself, its own folder, goes when it has ended. Nothing there is fine.
 */
export async function uninstall(host: TargetHost, log: ClientLog): Promise<void> {
  const goodbye = await leaver(host, log);
  await host.remove(layout.installed);
  if ((await host.services.status(layout.agentService)) !== undefined) {
    log.info(`Removing service ${layout.agentService}`);
    await stopService(host, layout.agentService);
    await host.services.remove(layout.agentService);
  }
  await host.remove(layout.agentFolder);
  await host.remove(layout.identity);
  await clearAway(host);
  await host.registry?.remove(layout.registryKey);
  await goodbye();
}

/** leaver gives what tells the site that this client is gone, made while its key is still there. */
async function leaver(host: TargetHost, log: ClientLog): Promise<() => Promise<void>> {
  try {
    const bytes = await host.readFile(layout.agentConfig);
    const isRegistered = (await host.readFile(layout.key)) !== undefined && (await host.readFile(layout.identity)) !== undefined;
    if (!bytes || !isRegistered) return async () => {};
    const { managementPoints, certificatePins } = readMobileClient(bytes);
    const identity = await Identity.load(host);
    const points = [...new Set([...(identity.memory.managementPoints ?? []), ...managementPoints])];
    return async () => {
      const known = [...managementPoints, ...(identity.memory.provenPoints ?? [])];
      const contact = new Contact(host, certificatePins, {
        proves: (point) => isProof(point, certificatePins !== undefined, known),
      });
      await sayFarewell({ host, identity, contact }, points, 'uninstall').catch((error: unknown) =>
        log.warn(`The site was not told: ${error instanceof Error ? error.message : String(error)}`),
      );
    };
  } catch (error) {
    log.warn(`The site is not told: ${error instanceof Error ? error.message : String(error)}`);
    return async () => {};
  }
}
