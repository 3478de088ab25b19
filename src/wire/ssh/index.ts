export { readSshBanner } from './banner.ts';
