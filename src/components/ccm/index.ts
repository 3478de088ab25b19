export { CcmInbox, type InboxParts } from './inbox/index.ts';
export { Ccm } from './work/ccm.ts';
export { Surroundings } from './work/surroundings.ts';
export { readCcrFile, writeCcrFile, type CcrFile } from './ccr-file/index.ts';
export type { CcmParts } from './work/parts.ts';
export type { Network } from './attempt/context.ts';
