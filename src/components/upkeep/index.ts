export { Upkeep, type UpkeepParts } from './upkeep.ts';
