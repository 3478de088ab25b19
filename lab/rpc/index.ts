export type { DomainFacts } from './lsarpc.ts';
export type { Injected } from './interference.ts';
export { serveNamedPipes } from './npa.ts';
export { win32Of, Win32Refusal } from './refusal.ts';
export { Registry } from './registry.ts';
export { RpcServer, type LabRpcHost } from './server.ts';
export { LabService, Services, type ExitCodes, type NewLabService, type RunningProgram } from './services.ts';
export type { LabShare, ServerFacts } from './srvsvc.ts';
export type { RpcEndpoint } from './endpoint.ts';
