export { OperatingSystem, checked, compiled, matches, Guid, TokenId } from './fields.ts';
export { isSmsid, smsidOf } from './smsid.ts';
export { POLICY_PROOF, policyKey, policyProof, policyProofHolds, tokenKeyOf, tokenProof, tokenProofHolds } from './token.ts';
export { branchKey, branchTokenId, branchTokenSecret, isForMachine, readBranchToken, type BranchToken } from './branch-token.ts';
export {
  SIGNATURE_HEADERS,
  SIGNATURE_WINDOW_MS,
  publicKeyOf,
  readClaim,
  readPublicKey,
  signRequest,
  verifyRequest,
  verifyRequestAside,
  type Claim,
  type SignableRequest,
  type Signer,
  type VerificationKey,
} from './signing.ts';
export { Pdr, SentBoundary, SentCcr, SentClient, SentDdr, SentDecision, SentPackage, SentSite, SentState } from './branch.ts';
export { Nonces } from './nonces.ts';
export { pointsDocument } from './openapi.ts';
export { Approval, Heartbeat, HeartbeatReply, Registration, RegistrationReply } from './registration.ts';
export { Farewell, FarewellReply, Policy, PolicyFile, PolicyMigrate, PolicyUpgrade } from './policy.ts';
export { Location, LocationQuery, MOST_ADDRESSES, SiteInformation } from './location.ts';
export { openSealed, sealFor } from './sealed.ts';
export { Ddr } from './ddr.ts';
export { Problem } from './problem.ts';
export { ContentManifest } from './content.ts';
export {
  StateMessage,
  StateReply,
  TOPIC,
  deploymentOutcome,
  deploymentStateText,
  deploymentStates,
  type DeploymentState,
} from './state.ts';
export { readMpList, writeMpList, type ListedPoint } from './mp-list.ts';
export { MobileClient, readMobileClient, writeMobileClient } from './mobile-client.ts';
export {
  joinMac,
  LINK_LARGEST,
  LINK_HEADERS,
  LinkAnswer,
  LinkBatch,
  LinkHello,
  linkHolds,
  LinkJoin,
  LinkJoined,
  LinkPin,
  LinkRequest,
  LinkTokenFile,
  macHolds,
  packLink,
  readLink,
  readLinkClaim,
  signLink,
  unpackLink,
  type Envelope,
  type LinkClaim,
} from './link.ts';
