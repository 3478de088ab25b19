export { Contact, Unheard, because, saidNo, type Answer } from './contact.ts';
export { isProof, publishedPoints } from './published.ts';
export { retryAfterMs } from './retry-after.ts';
