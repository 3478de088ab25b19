export { Discovery, type DiscoveryParts } from './discovery.ts';
export { type Names } from './network/names.ts';
