import type { Clock } from '#base/clock';

export type Level = 'debug' | 'info' | 'warn' | 'error';

/** Fields are what a log line carries beside its event; values of keys that name a secret are never written. */
export type Fields = Record<string, unknown>;

/** Log takes one event and its fields; an event is a short, fixed phrase, so that lines can be counted by it. */
export interface Log {
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
  /** with returns a log that adds these fields to each line. */
  with(fields: Fields): Log;
}

const ORDER: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 };
const SECRET_KEY = /pass(word|wd|phrase)?$|secret|token|credential|private|hash$|sessionkey/i;

function shown(key: string, value: unknown): unknown {
  if (SECRET_KEY.test(key)) return '[not shown]';
  if (value instanceof Error) return describe(value);
  if (value instanceof Uint8Array) return `[${value.length} bytes]`;
  if (typeof value === 'bigint') return value.toString();
  return value;
}

function describe(error: Error): Fields {
  const fields: Fields = { name: error.name, message: error.message };
  if ('code' in error) fields['code'] = error.code;
  if (error.name === 'Error' || error.name === 'TypeError' || error.name === 'RangeError') fields['stack'] = error.stack;
  if (error.cause instanceof Error) fields['cause'] = describe(error.cause);
  return fields;
}

/** JsonLog writes one JSON object a line: {"time","level","event",...fields}. */
export class JsonLog implements Log {
  readonly #clock: Clock;
  readonly #write: (line: string) => void;
  readonly #least: Level;
  readonly #fields: Fields;

  constructor(clock: Clock, write: (line: string) => void, least: Level = 'info', fields: Fields = {}) {
    this.#clock = clock;
    this.#write = write;
    this.#least = least;
    this.#fields = fields;
  }

  #line(level: Level, event: string, fields: Fields = {}): void {
    if (ORDER[level] < ORDER[this.#least]) return;
    const line: Fields = { time: this.#clock.now().toISOString(), level, event };
    for (const [key, value] of Object.entries({ ...this.#fields, ...fields }))
      if (value !== undefined) line[key] = shown(key, value);
    this.#write(`${JSON.stringify(line, (key, value: unknown) => shown(key, value))}\n`);
  }

  debug(event: string, fields?: Fields): void {
    this.#line('debug', event, fields);
  }
  info(event: string, fields?: Fields): void {
    this.#line('info', event, fields);
  }
  warn(event: string, fields?: Fields): void {
    this.#line('warn', event, fields);
  }
  error(event: string, fields?: Fields): void {
    this.#line('error', event, fields);
  }
  with(fields: Fields): Log {
    return new JsonLog(this.#clock, this.#write, this.#least, { ...this.#fields, ...fields });
  }
}

/** silentLog drops everything; for tests and for callers that do not care. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {}, with: () => silentLog };
