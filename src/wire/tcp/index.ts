export { connectTcp, probeTcp, reachTcp } from './connect.ts';
export type { Line } from './line.ts';
