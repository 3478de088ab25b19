/** No point can send its clients away for longer than a day. */
const LONGEST = 24 * 3_600_000;

/** retryAfterMs reads a Retry-After header, seconds or an HTTP date (RFC 9110, section 10.2.3); undefined when there is no usable one. */
export function retryAfterMs(value: string | null, now: Date): number | undefined {
  if (value === null) return undefined;
  const text = value.trim();
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : new Date(text).getTime() - now.getTime();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST);
}
