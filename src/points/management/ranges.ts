/** Slice is a run of octets, both ends included. */
export interface Slice {
  start: number;
  end: number;
}

/** More ranges in one request are a trick and no download (RFC 9110, section 17.15). */
const MOST = 10;

/**
 * slicesOf reads a Range header (RFC 9110, section 14.2): the slices that can be served, none of them = 416, and undefined = the whole, as for
 * other units, what is malformed, too many ranges, and ranges that overlap or go backwards.
 */
export function slicesOf(header: string | undefined, size: number): Slice[] | undefined {
  const match = /^bytes=(.{1,1000})$/i.exec(header?.trim() ?? '');
  const specs = match?.[1]?.split(',').map((spec) => spec.trim()) ?? [];
  if (specs.length === 0 || specs.length > MOST) return undefined;
  const slices: Slice[] = [];
  for (const spec of specs) {
    const slice = sliceOf(spec, size);
    if (slice === undefined) return undefined;
    if (slice === 'unsatisfiable') continue;
    if (slices.length > 0 && slice.start <= slices.at(-1)!.end) return undefined;
    slices.push(slice);
  }
  return slices;
}

function sliceOf(spec: string, size: number): Slice | 'unsatisfiable' | undefined {
  const match = /^(\d*)-(\d*)$/.exec(spec);
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  if (match[1] === '') {
    const last = Number(match[2]);
    return last === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(0, size - last), end: size - 1 };
  }
  const start = Number(match[1]);
  const end = match[2] === '' ? Infinity : Number(match[2]);
  if (end < start) return undefined;
  return start >= size ? 'unsatisfiable' : { start, end: Math.min(end, size - 1) };
}

/** Part is what goes out: text of its own, or octets of the file. */
export type Part = Slice | Buffer;

/** lengthOf is how many octets the parts have together. */
export function lengthOf(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + (Buffer.isBuffer(part) ? part.length : part.end - part.start + 1), 0);
}

/** multipart puts several slices into the form of multipart/byteranges (RFC 9110, section 14.6). */
export function multipart(slices: readonly Slice[], size: number, boundary: string): Part[] {
  const parts = slices.flatMap((slice, i): Part[] => {
    const head = `${i === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${slice.start}-${slice.end}/${size}\r\n\r\n`;
    return [Buffer.from(head, 'latin1'), slice];
  });
  return [...parts, Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1')];
}
