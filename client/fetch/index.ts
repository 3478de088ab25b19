export { clientFetch, hostFetch } from './host-fetch.ts';
