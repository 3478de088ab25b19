export { hostFetch } from './host-fetch.ts';
