import type { Entry } from '../entry.ts';

/** targetErrors: (see below). */
export const targetErrors = {} as const satisfies Record<string, Entry>;
