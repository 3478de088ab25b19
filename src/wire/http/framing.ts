import { exchanged } from './alias.ts';

/**
 * Framing follows the requests of one HTTP/1.1 connection closely enough to know where each request line begins, and exchanges the verb
 * there (RFC 9112, sections 2.2, 3, 5, 6 and 7.1). Node's own parser reads the same octets after it, so the two must never differ on where
 * a body ends: a body would be changed, or a request slip in that one of them does not see. Hence it takes only the one strict spelling of
 * everything that frames, and whatever else comes is *poisoned*: an octet that is valid nowhere in a head goes to the parser, which answers
 * 400 and closes, and nothing after it is let through. Strictness costs nothing: no client known sends otherwise.
 */
export interface Framed {
  /** What the parser gets. */
  octets: Uint8Array;
  /** True when nothing more may reach the parser. */
  poisoned: boolean;
}

/** No request line or header line is longer; Node's own limit for a whole head is 16 KiB. */
const LONGEST_LINE = 65_536;
const LONGEST_CHUNK_LINE = 1024;
/** Content-Length has at most 15 digits: exact in a number, and 900 terabytes are enough. */
const LENGTH = /^\d{1,15}$/;
const CHUNK = /^([0-9A-Fa-f]{1,12})(?:;[\t\x20-\x7e]*)?$/;
const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) [\x21-\x7e\x80-\xff]+ HTTP\/1\.([01])$/;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const NEVER_IN_TRAILERS = new Set(['content-length', 'transfer-encoding', 'upgrade', 'connection', 'host']);
const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const NUL = 0;
const NOTHING = new Uint8Array(0);
const LONGEST_VERB = Math.max(...[...exchanged.keys()].map((verb) => verb.length));
const starts = new Set([...exchanged.keys()].flatMap((verb) => Array.from(verb, (_, i) => verb.slice(0, i + 1))));

type State = 'start' | 'line' | 'header' | 'body' | 'size' | 'data' | 'data-end' | 'trailer' | 'raw' | 'dead';

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}

/** field splits a header line into its lower-case name and its value without the blanks around it; undefined when it is none. */
function field(line: string): { name: string; value: string } | undefined {
  const colon = line.indexOf(':');
  if (colon < 1 || !TOKEN.test(line.slice(0, colon))) return undefined;
  let from = colon + 1;
  let to = line.length;
  const blank = (i: number) => line[i] === ' ' || line[i] === '\t';
  while (from < to && blank(from)) from++;
  while (to > from && blank(to - 1)) to--;
  return { name: line.slice(0, colon).toLowerCase(), value: line.slice(from, to) };
}

/** Framing is the state of one connection. */
export class Framing {
  #state: State = 'start';
  /** Octets held back: the beginning of a verb that may have to be exchanged. */
  #held: Uint8Array = NOTHING;
  /** The line so far, as Latin-1. */
  #line = '';
  #left = 0;
  #minor = 1;
  #length: number | undefined;
  #chunked = false;
  #raw = false;

  /** push takes what arrived and says what the parser gets; verbs are exchanged in place. */
  push(arrived: Uint8Array): Framed {
    if (this.#state === 'dead') return { octets: NOTHING, poisoned: true };
    const chunk = this.#held.length > 0 ? joined(this.#held, arrived) : arrived;
    this.#held = NOTHING;
    for (let at = 0; at < chunk.length;) {
      const next = this.#step(chunk, at);
      if (next === undefined) return { octets: joined(chunk.subarray(0, this.#left), new Uint8Array([NUL])), poisoned: true };
      if (this.#held.length > 0) return { octets: chunk.subarray(0, next), poisoned: false };
      at = next;
    }
    return { octets: chunk, poisoned: false };
  }

  /** end gives what was held back when the peer has closed its side. */
  end(): Uint8Array {
    const held = this.#held;
    this.#held = NOTHING;
    return held;
  }

  /** step goes on from `at` and gives the place it got to; undefined = poisoned, and `#left` is where. */
  #step(chunk: Uint8Array, at: number): number | undefined {
    if (this.#state === 'start') return this.#start(chunk, at);
    if (this.#state === 'raw') return chunk.length;
    if (this.#state === 'body' || this.#state === 'data') {
      const take = Math.min(this.#left, chunk.length - at);
      this.#left -= take;
      if (this.#left === 0) this.#enter(this.#state === 'data' ? 'data-end' : 'start');
      return at + take;
    }
    return this.#lines(chunk, at);
  }

  /** start skips the line ends that may stand before a request line, as the parser does, and exchanges the verb after them. */
  #start(chunk: Uint8Array, at: number): number {
    let from = at;
    while (from < chunk.length && (chunk[from] === CR || chunk[from] === LF)) from++;
    if (from === chunk.length) return from;
    let verb = '';
    for (let i = from; i < chunk.length && verb.length <= LONGEST_VERB; i++) {
      const octet = chunk[i]!;
      const other = octet === SPACE ? exchanged.get(verb) : undefined;
      if (other !== undefined) for (let k = 0; k < other.length; k++) chunk[from + k] = other.charCodeAt(k);
      verb += String.fromCharCode(octet);
      if (!starts.has(verb)) return this.#request(from);
    }
    this.#held = chunk.slice(from);
    return from;
  }

  #request(at: number): number {
    this.#length = undefined;
    this.#chunked = this.#raw = false;
    this.#enter('line');
    return at;
  }

  #enter(state: State): void {
    this.#state = state;
    this.#line = '';
  }

  /** lines takes octets up to the end of a line; its LF goes to the parser only when the line was found good. */
  #lines(chunk: Uint8Array, at: number): number | undefined {
    const lf = chunk.indexOf(LF, at);
    const end = lf === -1 ? chunk.length : lf;
    this.#line += Buffer.from(chunk.buffer, chunk.byteOffset + at, end - at).toString('latin1');
    const longest = this.#state === 'size' || this.#state === 'data-end' ? LONGEST_CHUNK_LINE : LONGEST_LINE;
    if (this.#line.length > longest || (lf !== -1 && !this.#whole())) {
      this.#enter('dead');
      this.#left = end;
      return undefined;
    }
    return lf === -1 ? end : lf + 1;
  }

  /** whole judges a finished line and goes on to the next state; false when it is not to be let through. */
  #whole(): boolean {
    const line = this.#line.slice(0, -1);
    if (!this.#line.endsWith('\r') || line.includes('\r')) return false;
    this.#line = '';
    switch (this.#state) {
      case 'line':
        return this.#requestLine(line);
      case 'header':
        return line === '' ? this.#headEnd() : this.#header(line);
      case 'size':
        return this.#chunkSize(line);
      case 'data-end':
        this.#enter('size');
        return line === '';
      default: {
        // Trailers must not frame (RFC 9110, section 6.5.1).
        if (line === '') this.#enter('start');
        const name = field(line)?.name;
        return line === '' || (name !== undefined && !NEVER_IN_TRAILERS.has(name));
      }
    }
  }

  #requestLine(line: string): boolean {
    const found = REQUEST_LINE.exec(line);
    if (!found) return false;
    this.#raw = found[1] === 'CONNECT';
    this.#minor = Number(found[2]);
    this.#enter('header');
    return true;
  }

  #header(line: string): boolean {
    const found = field(line);
    if (!found) return false;
    const framed = this.#chunked || this.#length !== undefined;
    if (found.name === 'content-length') {
      if (framed || !LENGTH.test(found.value)) return false;
      this.#length = Number(found.value);
    } else if (found.name === 'transfer-encoding') {
      // `chunked` and nothing else: what a list of codings means is where smuggling begins (RFC 9112, section 6.1).
      if (framed || this.#minor === 0 || found.value.toLowerCase() !== 'chunked') return false;
      this.#chunked = true;
    } else if (found.name === 'upgrade') {
      this.#raw = true;
    }
    return true;
  }

  /** headEnd: after CONNECT or Upgrade the server may speak anything, so nothing is exchanged any more (RFC 9110, sections 7.8, 9.3.6). */
  #headEnd(): boolean {
    this.#left = this.#length ?? 0;
    if (this.#raw) this.#enter('raw');
    else if (this.#chunked) this.#enter('size');
    else this.#enter(this.#left > 0 ? 'body' : 'start');
    return true;
  }

  #chunkSize(line: string): boolean {
    const found = CHUNK.exec(line);
    if (!found) return false;
    this.#left = Number.parseInt(found[1]!, 16);
    this.#enter(this.#left === 0 ? 'trailer' : 'data');
    return true;
  }
}
