export { Contact, Unheard, because, saidNo, type Answer } from './contact.ts';
export { retryAfterMs } from './retry-after.ts';
