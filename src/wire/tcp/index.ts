export { connectTcp, probeTcp } from './connect.ts';
