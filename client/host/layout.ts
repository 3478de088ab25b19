/** layout is where the client keeps its things on a Windows machine (facts D4). */
export const layout = {
  setupFolder: 'C:\\Windows\\ccmsetup',
  setupLog: 'C:\\Windows\\ccmsetup\\logs\\ccmsetup.log',
  configFile: 'mobileclient.tcf',
  agentFolder: 'C:\\Windows\\CCM',
  agentLog: 'C:\\Windows\\CCM\\logs\\CcmExec.log',
  /** SMSID and registration. */
  identityLog: 'C:\\Windows\\CCM\\logs\\ClientIDManagerStartup.log',
  /** Which management points there are and which is asked. */
  servicesLog: 'C:\\Windows\\CCM\\logs\\LocationServices.log',
  /** Site assignment. */
  locationLog: 'C:\\Windows\\CCM\\logs\\ClientLocation.log',
  policyLog: 'C:\\Windows\\CCM\\logs\\PolicyAgent.log',
  stateLog: 'C:\\Windows\\CCM\\logs\\FSPStateMessage.log',
  /** The installed agent; its service runs it. */
  agentFile: 'C:\\Windows\\CCM\\CcmExec.exe',
  /** What runs the agent where it is one in TypeScript: a folder for each runtime. */
  runtimes: 'C:\\Windows\\CCM\\runtime',
  /** The agent an upgrade replaces, until the new one runs. */
  agentBefore: 'C:\\Windows\\CCM\\CcmExec.old',
  /** mobileclient.tcf without the token: where the agent's management points are. */
  agentConfig: 'C:\\Windows\\CCM\\mobileclient.tcf',
  /** The last one that could be read, for when the other cannot. */
  agentConfigBefore: 'C:\\Windows\\CCM\\mobileclient.bak',
  /** Written last: the client is installed when this is there. */
  installed: 'C:\\Windows\\CCM\\installed.json',
  /** The one-time registration token on its way from ccmsetup to the agent. */
  token: 'C:\\Windows\\CCM\\registration.token',
  /** What is left of the token: the key by which the policy of the site that pushed this client is known. */
  siteKey: 'C:\\Windows\\CCM\\site.key',
  /** The secrets of the site's policy, for whatever on the machine the administrator gives them to. */
  secrets: 'C:\\Windows\\CCM\\secrets.json',
  key: 'C:\\Windows\\CCM\\client.key',
  /** With which the machine proves itself to points in native mode: PEM, put there by whoever enrols it. */
  certificate: 'C:\\Windows\\CCM\\certificate.pem',
  certificateKey: 'C:\\Windows\\CCM\\certificate.key',
  memory: 'C:\\Windows\\CCM\\client.json',
  status: 'C:\\Windows\\CCM\\status.json',
  /** Outside the client's folder, so that the SMSID survives a reinstallation; deleted by who prepares an image. */
  identity: 'C:\\Windows\\SMSCFG.INI',
  registryKey: 'SOFTWARE\\Microsoft\\SMS\\Mobile Client',
  /** The bootstrap that came with the agent: one that was installed by hand has no other. */
  agentSetup: 'C:\\Windows\\CCM\\ccmsetup.exe',
  /** The bootstrap, where no note says which it was. */
  setupFile: 'C:\\Windows\\ccmsetup\\ccmsetup.exe',
  agentService: 'CcmExec',
  setupService: 'ccmsetup',
  setupMutex: 'Global\\ccmsetup',
} as const;
