export { Contact, Unheard, because, saidNo } from './contact.ts';
export { retryAfterMs } from './retry-after.ts';
