export { Upkeep, type UpkeepParts } from './upkeep.ts';
export { PolicyUpkeep, type PolicyParts } from './policies.ts';
export { CollectionUpkeep, type CollectionParts } from './collections.ts';
