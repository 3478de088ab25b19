export { Upkeep, type UpkeepParts } from './upkeep.ts';
export { PolicySecrets, type SecretParts } from './secrets.ts';
export { PolicyUpkeep, type PolicyParts } from './policies.ts';
export { CollectionUpkeep, type CollectionParts } from './collections.ts';
