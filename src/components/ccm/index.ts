export { readCcrFile, writeCcrFile, type CcrFile } from './ccr-file/index.ts';
