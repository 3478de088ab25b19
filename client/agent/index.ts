export { main } from './main.ts';
export { status, type AgentStatus } from './status.ts';
