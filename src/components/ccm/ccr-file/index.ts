export { readCcrFile, whyNoName, type CcrFile } from './read.ts';
export { writeCcrFile } from './write.ts';
export { formatDate } from './dates.ts';
