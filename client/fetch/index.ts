export { clientFetch, hostFetch, isPinned } from './host-fetch.ts';
