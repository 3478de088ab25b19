import type { Entry } from '../entry.ts';

/** storeErrors: (see below). */
export const storeErrors = {} as const satisfies Record<string, Entry>;
