import * as Type from 'typebox';
import { DomainName, Guid, Instant, MachineName, SiteCode, Uuid, Version, text } from './fields.ts';

/** TOPIC names the topic types of facts F7. */
export const TOPIC = {
  clientDeployment: 800,
  heartbeat: 701,
  keyUpdate: 702,
  communication: 1000,
  certificate: 1001,
  mode: 1100,
} as const;

/**
 * StateMessage tells how a deployment goes on (POST /ccm_system/state, signed with the token or the client's key; or POST
 * /sms_fsp/.sms_fsp, unsigned and therefore only ever a hint). One `topicId` stands for one run of ccmsetup; the pair topicId + stateId may
 * come more than once.
 */
export const StateMessage = Type.Object({
  topicType: Type.Integer({ minimum: 0, maximum: 65_535 }),
  topicId: Uuid,
  stateId: Type.Integer({ minimum: 0, maximum: 65_535 }),
  at: Instant,
  name: MachineName,
  domain: DomainName,
  site: Type.Optional(SiteCode),
  guid: Type.Optional(Guid),
  clientVersion: Type.Optional(Version),
  exitCode: Type.Optional(Type.Integer({ minimum: -2_147_483_648, maximum: 4_294_967_295 })),
  /** One sentence on what went wrong. */
  detail: Type.Optional(text(1024)),
  /** The last lines of ccmsetup.log. */
  logTail: Type.Optional(Type.String({ maxLength: 16_384 })),
});
export type StateMessage = Type.Static<typeof StateMessage>;

/** StateReply says that the message is kept. */
export const StateReply = Type.Object({ accepted: Type.Literal(true), serverTime: Instant });
export type StateReply = Type.Static<typeof StateReply>;

/** deploymentStates are the state ids of topic 800 (CLIENT_DEPLOYMENT) with what each means, as an administrator reads it. */
export const deploymentStates = {
  0: 'Unknown',
  100: 'Deployment started',
  101: 'Waiting for the download of the client files',
  102: 'Deployment is scheduled for later',
  103: 'Waiting for a maintenance window',
  104: 'Deployment was skipped',
  301: 'Failed for a reason that is not known',
  302: 'The ccmsetup service could not be created',
  303: 'The ccmsetup service could not be deleted',
  304: 'An embedded system with its write filter on cannot be written to',
  305: 'Native mode is not possible on Windows 2000',
  306: 'The download of the client files could not be started',
  307: 'The command line of ccmsetup is wrong',
  308: 'The download of the client files over HTTP failed',
  309: 'The download of the client files over BITS failed',
  310: 'BITS could not be installed',
  311: 'The signature of a prerequisite could not be checked',
  312: 'There was not enough disk space for the client files',
  313: 'The installer of the client failed',
  314: 'The manifest of the client files could not be read',
  315: 'No client certificate was found',
  316: 'A prerequisite is not signed',
  317: 'A restart is needed before the deployment can go on',
  318: 'The management point and the client are of different versions',
  319: 'The operating system is not supported',
  320: 'This kind of deployment is not supported here',
  321: 'BITS is missing',
  322: 'The source folder is gone',
  323: 'An installed App-V client does not fit',
  324: 'The site is of the wrong version',
  325: 'A client file does not have the expected hash',
  326: 'The machine is managed by another device management',
  327: 'Enrolment in device management failed',
  328: 'Device management reports a failure',
  329: 'The only network is metered',
  400: 'Deployment succeeded',
  401: 'Deployment succeeded, a restart is needed',
  402: 'Deployment succeeded, the machine was restarted',
  500: 'Site assignment started',
  601: 'Site assignment failed for a reason that is not known',
  602: 'The site code is not valid',
  603: 'Assignment to the management point failed',
  604: 'The default management point was not found',
  605: 'The site signing certificate could not be downloaded',
  606: 'The site code could not be found automatically',
  607: 'The client is newer than the site',
  608: 'The version of the site was found neither in Active Directory nor at a server locator point',
  609: 'The version of the client is not known',
  700: 'Site assignment succeeded',
} as const;

export type DeploymentState = keyof typeof deploymentStates;

/** deploymentOutcome sorts a state id of topic 800: still going on, succeeded, or failed. */
export function deploymentOutcome(stateId: number): 'going' | 'succeeded' | 'failed' | 'unknown' {
  if (stateId >= 100 && stateId < 300) return 'going';
  if (stateId >= 300 && stateId < 400) return 'failed';
  if (stateId >= 400 && stateId < 500) return 'succeeded';
  if (stateId === 500) return 'going';
  if (stateId > 600 && stateId < 700) return 'failed';
  return stateId === 700 ? 'succeeded' : 'unknown';
}

/** deploymentStateText is the sentence for a state id of topic 800. */
export function deploymentStateText(stateId: number): string {
  return (deploymentStates as Record<number, string>)[stateId] ?? `State ${stateId}`;
}
