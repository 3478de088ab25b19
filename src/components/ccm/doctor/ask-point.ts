import { request as plain, type IncomingMessage } from 'node:http';
import { request as secure } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';

/** PointAnswer is what a point said to a real request. */
export interface PointAnswer {
  status: number;
  /** The beginning of the body. */
  text: string;
  ms: number;
  /** Of an https point: from and until when its certificate is good, and its SHA-256 as clients pin it. */
  certificate?: { from: Date; until: Date; sha256: string } | undefined;
}

const MOST = 65_536;
const REASONS: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'its name has no address',
  EAI_AGAIN: 'no name server answers',
  ECONNRESET: 'it hung up',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no route to it',
};

function certificateOf(answer: IncomingMessage): PointAnswer['certificate'] {
  const socket = answer.socket as Partial<TLSSocket>;
  const known = socket.getPeerCertificate?.();
  if (!known?.valid_to) return undefined;
  const { valid_from: from, valid_to: until, fingerprint256 } = known;
  return { from: new Date(from), until: new Date(until), sha256: fingerprint256.replaceAll(':', '').toLowerCase() };
}

/**
 * askPoint sends one GET to a point as its clients do, and takes no redirect. A certificate is looked at, not trusted: nothing secret is sent, and
 * clients know it by its pin.
 */
export function askPoint(o: {
  url: string;
  clock: Clock;
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}): Promise<PointAnswer> {
  const { url, clock, timeoutMs, signal } = o;
  const from = clock.monotonic();
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown) => {
      cancel();
      asked.destroy();
      reject(raise('PP_DOCTOR_POINT', { url, why }, cause === undefined ? {} : { cause }));
    };
    const target = new URL(url);
    const common = { method: 'GET', agent: false, headers: { 'user-agent': 'pushpoint-doctor' }, ...(signal ? { signal } : {}) };
    const asked = target.protocol === 'https:' ? secure(target, { ...common, rejectUnauthorized: false }) : plain(target, common);
    const cancel = clock.after(timeoutMs, () => fail(`it did not answer within ${timeoutMs} ms`));
    asked.on('error', (error: NodeJS.ErrnoException) => fail(REASONS[error.code ?? ''] ?? error.message, error));
    asked.on('response', (answer) => {
      const certificate = certificateOf(answer);
      let text = '';
      const done = () => {
        cancel();
        resolve({ status: answer.statusCode ?? 0, text, ms: Math.round(clock.monotonic() - from), certificate });
      };
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => {
        text += chunk;
        if (text.length < MOST) return;
        asked.destroy();
        done();
      });
      answer.on('end', done);
    });
    asked.end();
  });
}
