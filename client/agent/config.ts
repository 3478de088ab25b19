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
  const tcf = (await readable(host, layout.agentConfig)) ?? (await readable(host, layout.agentConfigBefore));
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
