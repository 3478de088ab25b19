export { Upkeep, type UpkeepParts } from './upkeep.ts';
export { CollectionUpkeep, type CollectionParts } from './collections.ts';
