import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock';
import { problemOf, raise, type PushpointError } from '#base/errors';

/** Long enough to hear the answer before the line is cut. */
const MOMENT_MS = 2_000;

/** Lines that were answered and are about to close; the parser complains of each piece that still comes. */
const refused = new WeakSet<Duplex>();

/** refuseLine answers a line that has no request that could be answered, and closes it. */
export function refuseLine(line: Duplex, error: PushpointError, clock: Clock): void {
  refused.add(line);
  const problem = problemOf(error);
  const body = JSON.stringify({ ...problem, serverTime: clock.now().toISOString() });
  const seconds = error.params['seconds'];
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'X-Content-Type-Options: nosniff',
    ...(seconds === undefined ? [] : [`Retry-After: ${seconds}`]),
    'Connection: close',
  ];
  line.on('error', () => {});
  line.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  // Closed at once, what the peer is still sending would have the system throw away the answer on its way.
  const cancel = clock.after(MOMENT_MS, () => line.destroy());
  line.once('close', cancel);
}

/** whyOf tells what Node's parser found, in words of ours; what it quotes of the request stays out. */
function whyOf(code: string | undefined): PushpointError {
  if (code === 'HPE_HEADER_OVERFLOW') return raise('PP_HTTP_HEAD');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return raise('PP_HTTP_SLOW');
  if (code === 'HPE_INVALID_METHOD') return raise('PP_HTTP_UNREADABLE', { why: 'its verb is not known' });
  if (code === 'HPE_INVALID_VERSION' || code === 'HPE_INVALID_CONSTANT')
    return raise('PP_HTTP_UNREADABLE', { why: 'it is not HTTP/1.1' });
  return raise('PP_HTTP_UNREADABLE', { why: 'its head or the length of its body is not what HTTP/1.1 allows' });
}

/** answerUnreadable answers what the parser refused, before there is a request that a route could answer. */
export function answerUnreadable(error: { code?: string | undefined }, line: Duplex, clock: Clock): void {
  if (refused.has(line)) return;
  const begun = (line as { _httpMessage?: { headersSent: boolean } | null })._httpMessage?.headersSent;
  // Who went away hears nothing, and into an answer that has begun nothing can be said.
  if (error.code === 'ECONNRESET' || !line.writable || begun) line.destroy();
  else refuseLine(line, whyOf(error.code), clock);
}
