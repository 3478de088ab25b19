import type { FastifyInstance, RouteOptions } from 'fastify';

declare module 'fastify' {
  interface FastifySchema {
    /** What the call does, for the OpenAPI document. */
    summary?: string;
    description?: string;
    /** Media types of the body where it is not JSON, or not only. */
    consumes?: readonly string[];
    /** Answered without a token. */
    open?: boolean;
  }
}

interface Fields {
  properties?: Record<string, unknown>;
  required?: string[];
}

interface Described {
  summary?: string;
  description?: string;
  params?: Fields;
  querystring?: Fields;
  body?: unknown;
  consumes?: readonly string[];
  open?: boolean;
}

function parameters(place: 'path' | 'query', { properties = {}, required = [] }: Fields = {}): unknown[] {
  return Object.entries(properties).map(([name, schema]) => {
    // What has a default may be left out, whatever the schema of the filled-in value says.
    const needed = place === 'path' || (required.includes(name) && !Object.hasOwn(schema as object, 'default'));
    return { name, in: place, required: needed, schema };
  });
}

function operation(schema: Described): unknown {
  const types = schema.consumes ?? (schema.body ? ['application/json'] : []);
  const content = Object.fromEntries(types.map((type) => [type, { schema: schema.body ?? {} }]));
  return {
    summary: schema.summary,
    description: schema.description,
    ...(schema.open ? { security: [] } : {}),
    parameters: [...parameters('path', schema.params), ...parameters('query', schema.querystring)],
    ...(types.length > 0 ? { requestBody: { required: true, content } } : {}),
    responses: {
      200: { description: 'Done', content: { 'application/json': { schema: {} } } },
      default: { $ref: '#/components/responses/problem' },
    },
  };
}

const text = { type: 'string' };
const problem = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code'],
  properties: { type: text, title: text, status: { type: 'integer' }, detail: text, code: text, cause: text, remedy: text },
};

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
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      responses: {
        problem: {
          description: 'What went wrong, with code, cause and remedy (RFC 9457)',
          content: { 'application/problem+json': { schema: problem } },
        },
      },
    },
    paths,
  });
}
