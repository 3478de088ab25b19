import type { Entry } from '../entry.ts';

/** clientErrors: (see below). */
export const clientErrors = {} as const satisfies Record<string, Entry>;
