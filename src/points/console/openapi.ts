import type { FastifyInstance, RouteOptions } from 'fastify';

declare module 'fastify' {
  interface FastifySchema {
    /** What the call does, for the OpenAPI document. */
    summary?: string;
    description?: string;
    /** Media type of the body where it is not JSON. */
    consumes?: string;
  }
}

interface Described {
  summary?: string;
  description?: string;
  params?: { properties?: Record<string, unknown> };
  querystring?: { properties?: Record<string, unknown>; required?: string[] };
  body?: unknown;
  consumes?: string;
}

function parameters(
  place: 'path' | 'query',
  schema: { properties?: Record<string, unknown>; required?: string[] } | undefined,
): unknown[] {
  return Object.entries(schema?.properties ?? {}).map(([name, shape]) => ({
    name,
    in: place,
    required: place === 'path' || (schema?.required ?? []).includes(name),
    schema: shape,
  }));
}

function operation(schema: Described): unknown {
  const problem = {
    description: 'what went wrong, with code, cause and remedy (RFC 9457)',
    content: { 'application/problem+json': { schema: { type: 'object' } } },
  };
  return {
    summary: schema.summary,
    description: schema.description,
    parameters: [...parameters('path', schema.params), ...parameters('query', schema.querystring)],
    ...(schema.body || schema.consumes
      ? { requestBody: { required: true, content: { [schema.consumes ?? 'application/json']: { schema: schema.body ?? {} } } } }
      : {}),
    responses: { 200: { description: 'done', content: { 'application/json': { schema: {} } } }, default: problem },
  };
}

/** describeRoutes collects every route as it is added; the function it gives makes the OpenAPI 3.1 document of them. */
export function describeRoutes(app: FastifyInstance, version: string): () => unknown {
  const paths: Record<string, Record<string, unknown>> = {};
  app.addHook('onRoute', (route: RouteOptions) => {
    const path = route.url.replace(/:(\w+)/g, '{$1}');
    for (const method of [route.method].flat()) {
      if (method === 'HEAD') continue;
      (paths[path] ??= {})[method.toLowerCase()] = operation((route.schema ?? {}) as Described);
    }
  });
  return () => ({
    openapi: '3.1.0',
    info: { title: 'Pushpoint', version },
    security: [{ token: [] }],
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    paths,
  });
}
