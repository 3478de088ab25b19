export { Contact, Unheard, because, type Answer, type Ask } from './contact.ts';
export { retryAfterMs } from './retry-after.ts';
