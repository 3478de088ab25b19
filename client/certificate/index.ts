export { proving } from './certificate.ts';
