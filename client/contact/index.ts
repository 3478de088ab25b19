export { Contact, Unheard, because, saidNo, type Answer, type Ask } from './contact.ts';
export { retryAfterMs } from './retry-after.ts';
