export { sayFarewell } from './farewell.ts';
