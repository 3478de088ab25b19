import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { problemOf, PushpointError, raise } from '#base/errors';
import type { Log } from '#base/log';
import { shownName } from '#records/resource';

const RETRY_SECONDS = '5';

/** What the framework itself refuses (media type, JSON, size) is a wrong request, not a defect; its status stays. */
function ours(error: FastifyError): { known: unknown; status?: number } {
  if (error instanceof PushpointError || !error.statusCode || error.statusCode >= 500) return { known: error };
  const why =
    error.statusCode === 415
      ? 'its body is not of a type that this call takes; send Content-Type: application/json'
      : error.message;
  return { known: raise('PP_API_INVALID', { why }, { cause: error }), status: error.statusCode };
}

/** answerProblem says no in the form of RFC 9457. */
export async function answerProblem(log: Log, error: FastifyError, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { known, status } = ours(error);
  const problem = problemOf(known);
  problem.status = status ?? problem.status;
  if (problem.status >= 500) log.error('request failed', { method: request.method, route: request.routeOptions.url, error });
  if (problem.status === 429 || problem.status === 503) {
    const seconds = known instanceof PushpointError ? known.params['seconds'] : undefined;
    reply.header('retry-after', String(seconds ?? RETRY_SECONDS));
  }
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer');
  await reply.code(problem.status).type('application/problem+json').send(problem);
}

/** problems makes every refusal of an app a problem. */
export function problems(app: FastifyInstance, log: Log): void {
  app.setErrorHandler((error: FastifyError, request, reply) => answerProblem(log, error, request, reply));
  app.setNotFoundHandler((request) => {
    const name = shownName(`${request.method} ${request.url.split('?')[0]}`);
    throw raise('PP_API_NOT_FOUND', { kind: 'call', name });
  });
}
