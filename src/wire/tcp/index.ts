export { connectTcp, probeTcp, type ConnectOptions } from './connect.ts';
