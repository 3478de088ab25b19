export { acceptPostVerbs } from './accept.ts';
export { ALIAS } from './alias.ts';
