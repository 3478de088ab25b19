import type { Entry } from '../entry.ts';

/** requestErrors: (see below). */
export const requestErrors = {} as const satisfies Record<string, Entry>;
