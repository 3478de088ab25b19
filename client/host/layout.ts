/** layout is where the client keeps its things on a Windows machine (facts D4). */
export const layout = {
  setupFolder: 'C:\\Windows\\ccmsetup',
  setupLog: 'C:\\Windows\\ccmsetup\\logs\\ccmsetup.log',
  configFile: 'mobileclient.tcf',
  agentFolder: 'C:\\Windows\\CCM',
  agentLog: 'C:\\Windows\\CCM\\logs\\CcmExec.log',
  /** The installed agent; its service runs it. */
  agentFile: 'C:\\Windows\\CCM\\CcmExec.exe',
  /** The agent an upgrade replaces, until the new one runs. */
  agentBefore: 'C:\\Windows\\CCM\\CcmExec.old',
  /** mobileclient.tcf without the token: where the agent's management points are. */
  agentConfig: 'C:\\Windows\\CCM\\mobileclient.tcf',
  /** Written last: the client is installed when this is there. */
  installed: 'C:\\Windows\\CCM\\installed.json',
  /** The one-time registration token on its way from ccmsetup to the agent. */
  token: 'C:\\Windows\\CCM\\registration.token',
  key: 'C:\\Windows\\CCM\\client.key',
  memory: 'C:\\Windows\\CCM\\client.json',
  status: 'C:\\Windows\\CCM\\status.json',
  /** Outside the client's folder, so that the SMSID survives a reinstallation; deleted by who prepares an image. */
  identity: 'C:\\Windows\\SMSCFG.INI',
  registryKey: 'SOFTWARE\\Microsoft\\SMS\\Mobile Client',
  agentService: 'CcmExec',
  setupService: 'ccmsetup',
  setupMutex: 'Global\\ccmsetup',
} as const;
