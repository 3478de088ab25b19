import { raise } from '#base/errors';
import { layout, readInstalled, type TargetHost } from '#client/host';
import { readProperties, type ClientProperties } from '#client/properties';
import { readMobileClient, type MobileClient } from '#messages';
import { productVersion } from './product.ts';

/** AgentConfig is what ccmsetup left for the agent. */
export interface AgentConfig {
  tcf: MobileClient;
  properties: ClientProperties;
  /** Version of the package that brought this agent. */
  version: string;
  /** Release this agent belongs to. */
  product: string;
  /** Where the bootstrap lies. */
  setup: string;
}

/**
 * readConfig reads mobileclient.tcf, or, where that is gone or damaged, the copy of the last one that could be read: a client that
 * forgets where its site is would be lost.
 */
export async function readConfig(host: TargetHost, product = productVersion): Promise<AgentConfig> {
  const tcf = (await readable(host, layout.agentConfig)) ?? (await readable(host, layout.agentConfigBefore)) ?? ofInstaller(host);
  if (!tcf) throw raise('PP_CLIENT_NOT_INSTALLED', { file: layout.agentConfig });
  const installed = await readInstalled(host);
  return {
    tcf,
    properties: readProperties(tcf.properties),
    version: installed?.version ?? tcf.payload.version,
    product,
    setup: installed?.setup ?? layout.setupFile,
  };
}

/** ofInstaller makes the settings of what the installer was given by hand or by group policy: SMSSITECODE, and SMSMP or SMSSLP. */
function ofInstaller(host: TargetHost): MobileClient | undefined {
  const given = host.installerSettings?.();
  if (!given) return undefined;
  const { site = '', points, locators } = readProperties(given.properties);
  if (site === '' || points.length + locators.length === 0) return undefined;
  // There is no payload that somebody named.
  const payload = { file: 'client.msi', sha256: '0'.repeat(64), size: 1, version: given.version };
  return { properties: given.properties, site: site.length === 3 ? site : '', managementPoints: points, payload };
}

async function readable(host: TargetHost, path: string): Promise<MobileClient | undefined> {
  try {
    const bytes = await host.readFile(path);
    if (!bytes) return undefined;
    const tcf = readMobileClient(bytes);
    if (path === layout.agentConfig) await keep(host, bytes);
    return tcf;
  } catch {
    return undefined;
  }
}

async function keep(host: TargetHost, bytes: Uint8Array): Promise<void> {
  const before = await host.readFile(layout.agentConfigBefore);
  if (before && Buffer.compare(before, bytes) === 0) return;
  await host.writeFile(layout.agentConfigBefore, bytes);
}
