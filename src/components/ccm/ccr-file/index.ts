export { readCcrFile, type CcrFile } from './read.ts';
export { writeCcrFile } from './write.ts';
