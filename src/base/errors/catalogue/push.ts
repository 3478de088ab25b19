import type { Entry } from '../entry.ts';

/** pushErrors: (see below). */
export const pushErrors = {} as const satisfies Record<string, Entry>;
