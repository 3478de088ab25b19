export { connectTcp, probeTcp } from './connect.ts';
export type { Line } from './line.ts';
