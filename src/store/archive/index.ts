export { Archive } from './write.ts';
export { checkArchive, collect, readArchive, type Source, type Sums } from './read.ts';
export type { Entry } from './tar.ts';
