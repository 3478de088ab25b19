import { createHash } from 'node:crypto';
import { raise } from '#base/errors';
import { Download } from '#client/download';
import { folderOf, joinPath, layout, type TargetHost } from '#client/host';
import { SIGNATURE_HEADERS, writeMobileClient, type MobileClient, type PolicyFile, type PolicyUpgrade } from '#messages';
import { provesSite, type AgentParts } from './parts.ts';

/** The agent looks for the bootstrap's bytes this long; then it tries again when the policy is due again. */
const RETRY_MINUTES = 1;
const DOWNLOAD_MINUTES = 30;

/** startSetup lets the bootstrap run as its own service, which goes on when it stops this agent. */
async function startSetup(host: TargetHost, path: string, args: string): Promise<void> {
  const { services } = host;
  const name = layout.setupService;
  const state = await services.status(name);
  if (state !== undefined && state !== 'stopped')
    throw raise('PP_SETUP_SERVICE', { service: name, doing: 'started', why: `it is ${state}` });
  if (state !== undefined) await services.remove(name);
  await services.create({
    name,
    displayName: name,
    binaryPath: [`"${path}"`, args].filter(Boolean).join(' '),
    startType: 'demand',
  });
  await services.start(name);
}

/** startUninstall lets the bootstrap remove this client. */
export async function startUninstall({ host, config }: AgentParts): Promise<void> {
  const own = await host.readFile(layout.agentSetup);
  // It must not run from the folder that it removes.
  if (own) await host.writeFile(config.setup, own);
  else if (!(await host.readFile(config.setup))) throw raise('PP_CLIENT_NOT_INSTALLED', { file: config.setup });
  await startSetup(host, config.setup, '/uninstall');
}

/** filesOf tells bootstrap, payload and prerequisites of an upgrade apart. */
function filesOf({ files, bootstrap, payload, prerequisites = [] }: PolicyUpgrade) {
  const setup = files.find(({ name }) => (bootstrap === undefined ? /^ccmsetup\.[a-z]+$/i.test(name) : name === bootstrap));
  if (!setup) throw raise('PP_SETUP_UNSUPPORTED', { why: 'the upgrade has no bootstrap' });
  const installed = files.find(({ name }) => (payload === undefined ? name !== setup.name : name === payload));
  if (!installed || installed.size < 1) throw raise('PP_SETUP_UNSUPPORTED', { why: 'the upgrade has no payload' });
  const first = prerequisites.map(({ file, command, check }) => {
    const found = files.find(({ name }) => name === file);
    if (!found || found.size < 1)
      throw raise('PP_SETUP_UNSUPPORTED', { why: `the upgrade does not bring its prerequisite ${file}` });
    return { file, sha256: found.sha256, size: found.size, command, ...(check !== undefined && { check }) };
  });
  return { setup, payload: installed, first };
}

/**
 * startUpgrade fetches the bootstrap of another version by its hash, lays a mobileclient.tcf beside it that names the new payload, and
 * starts it: from there an upgrade by policy is what a push is, with its checks, its state messages, and its way back.
 */
export async function startUpgrade(parts: AgentParts, upgrade: PolicyUpgrade): Promise<void> {
  const { host, config, identity, choice, logs } = parts;
  const { setup, payload, first } = filesOf(upgrade);
  const folder = folderOf(config.setup) || layout.setupFolder;
  const path = joinPath(folder, setup.name);
  const there = await host.readFile(path);
  if (!there || createHash('sha256').update(there).digest('hex') !== setup.sha256) {
    const download = new Download(host, logs.policy, toPayload(setup, upgrade.version), {
      points: choice.forContent(),
      retryMinutes: RETRY_MINUTES,
      downloadMinutes: DOWNLOAD_MINUTES,
      pins: config.tcf.certificatePins,
      ...(identity.memory.guid !== undefined && { names: { [SIGNATURE_HEADERS.client]: identity.memory.guid } }),
      onWait: async () => {},
    });
    await host.writeFile(path, await download.run());
    await download.clear();
  }
  const { command, requires } = upgrade;
  // What the version before needed is not what this one needs.
  const { requires: _, prerequisites: __, ...lasting } = config.tcf;
  const tcf: MobileClient = {
    ...lasting,
    site: identity.memory.site ?? config.tcf.site,
    // From now on these are what the installation named: an https address that nobody proved must not become one of them.
    managementPoints: choice.forContent().filter((point) => !point.startsWith('https:') || provesSite(parts, point)),
    payload: { ...toPayload(payload, upgrade.version), ...(command !== undefined && { command }) },
    ...(requires && { requires }),
    ...(first.length > 0 && { prerequisites: first }),
  };
  await host.writeFile(joinPath(folder, layout.configFile), writeMobileClient(tcf));
  await startSetup(host, path, upgrade.arguments ?? '');
}

const toPayload = ({ name, sha256, size }: PolicyFile, version: string) => ({ file: name, sha256, size, version });
