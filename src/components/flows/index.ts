export type { FlowParts } from './branch.ts';
export { forwardDdrs } from './ddr.ts';
export { flowHandlers, Flows, type FlowOptions } from './flows.ts';
export type { FetchContent } from './packages.ts';
