import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '#base/clock';
import { problemOf, PushpointError, raise } from '#base/errors';
import type { Log } from '#base/log';

/** Who is told to come again without a time of its own waits this long. */
const RETRY_SECONDS = 30;

/** What the framework refuses by itself: a path it cannot read is a path where nothing is; the rest is a wrong request. */
function ours(error: FastifyError): unknown {
  if (error instanceof PushpointError || !error.statusCode || error.statusCode >= 500) return error;
  if (error.code === 'FST_ERR_BAD_URL' || error.code === 'FST_ERR_MAX_PARAM_LENGTH') return raise('PP_MP_NOT_HERE');
  return raise('PP_API_INVALID', { why: error.message }, { cause: error });
}

/** answerProblem says no (RFC 9457), with the site's time so that a client can mend its clock. */
export async function answerProblem(
  parts: { clock: Clock; log: Log },
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const known = ours(error);
  const problem = problemOf(known);
  if (error.statusCode === 413) problem.status = 413;
  if (problem.status >= 500) parts.log.error('request failed', { route: request.routeOptions.url, error });
  if (problem.status === 429 || problem.status === 503) {
    const seconds = known instanceof PushpointError ? known.params['seconds'] : undefined;
    reply.header('retry-after', String(seconds ?? RETRY_SECONDS));
  }
  await reply
    .code(problem.status)
    .type('application/problem+json')
    .header('x-content-type-options', 'nosniff')
    .send({ ...problem, serverTime: parts.clock.now().toISOString() });
}

/** problems makes every refusal of an app a problem. */
export function problems(app: FastifyInstance, parts: { clock: Clock; log: Log }): void {
  app.setErrorHandler((error: FastifyError, request, reply) => answerProblem(parts, error, request, reply));
  app.setNotFoundHandler(() => {
    throw raise('PP_MP_NOT_HERE');
  });
}
