import type { Entry } from '../entry.ts';

/** siteErrors: (see below). */
export const siteErrors = {} as const satisfies Record<string, Entry>;
