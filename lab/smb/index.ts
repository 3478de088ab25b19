export type { Identity, LogonAcceptor, LogonStep, PipeEnd, Point, Share, SmbBackend } from './backend.ts';
export { modernSpeech, type Speech } from './negotiation.ts';
export { SmbServer, type Limits } from './server.ts';
