import type * as Type from 'typebox';
import { Location, SiteInformation } from './location.ts';
import { Farewell, FarewellReply, Policy } from './policy.ts';
import { Problem } from './problem.ts';
import { Heartbeat, HeartbeatReply, Registration, RegistrationReply } from './registration.ts';
import { SIGNATURE_HEADERS } from './signing.ts';
import { StateMessage, StateReply } from './state.ts';

/** What the points answer, as an OpenAPI 3.1 document. The shapes are those that the points check messages with. */

type Schemas = Record<string, Type.TSchema>;

const schemas: Schemas = {
  Registration,
  RegistrationReply,
  Heartbeat,
  HeartbeatReply,
  StateMessage,
  StateReply,
  Policy,
  Farewell,
  FarewellReply,
  Location,
  SiteInformation,
  Problem,
};

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const text = { type: 'string' };

interface Operation {
  summary: string;
  description?: string;
  /** Who signs: the key that the body brings, a registered client, or it or the token of a push. */
  signedBy?: 'key' | 'client' | 'signer';
  takes?: string;
  gives?: string;
  type?: string;
  query?: Record<string, string>;
  statuses?: Record<string, string>;
}

const SIGNED: Record<NonNullable<Operation['signedBy']>, readonly (keyof typeof SIGNATURE_HEADERS)[]> = {
  key: ['time', 'nonce', 'signature'],
  client: ['client', 'time', 'nonce', 'signature'],
  signer: ['client', 'token', 'time', 'nonce', 'signature'],
};

const LOCATION = {
  address: 'An address of the machine; as often as it has addresses. Without one that of the connection counts.',
  adSite: 'The Active Directory site it is in.',
};
const CONTENT = {
  206: 'One range, or several as multipart/byteranges',
  304: 'The file has not changed (If-None-Match)',
  412: 'It is another file (If-Match)',
  416: 'No range of it can be served',
};
const content = (summary: string): Operation => ({ summary, type: 'application/octet-stream', statuses: CONTENT });
const location = (summary: string): Operation => ({ summary, gives: 'Location', query: LOCATION });
const site = (summary: string): Operation => ({
  summary,
  gives: 'SiteInformation',
  statuses: { 404: 'No such site is known here' },
});
const state = (summary: string): Operation => ({
  summary,
  takes: 'StateMessage',
  gives: 'StateReply',
  description: 'Unsigned, so that it is kept apart and moves nothing.',
});

const operations: Record<string, Record<string, Operation>> = {
  '/ccm_system/registration': {
    post: { summary: 'A client makes itself known', signedBy: 'key', takes: 'Registration', gives: 'RegistrationReply' },
  },
  '/ccm_system/heartbeat': {
    post: { summary: 'A sign of life', signedBy: 'client', takes: 'Heartbeat', gives: 'HeartbeatReply' },
  },
  '/ccm_system/state': {
    post: { summary: 'How a deployment goes on', signedBy: 'signer', takes: 'StateMessage', gives: 'StateReply' },
  },
  '/ccm_system/policy': {
    get: {
      summary: 'What the site wants of this client',
      signedBy: 'client',
      gives: 'Policy',
      statuses: { 304: 'The policy has not changed (If-None-Match)' },
    },
  },
  '/ccm_system/farewell': { post: { summary: 'A client leaves', signedBy: 'client', takes: 'Farewell', gives: 'FarewellReply' } },
  '/ccm_system/location': { get: location('Which site a machine belongs to, at a management point') },
  '/ccm_system/sites/{code}': { get: site('What is known of a site, at a management point') },
  '/ccm_system/openapi.json': { get: { summary: 'This document', type: 'application/json' } },
  '/sms_slp/location': { get: location('Which site a machine belongs to, at a server locator point') },
  '/sms_slp/slp.dll': {
    get: { ...location('The same by its old name'), query: { ip: 'Addresses, `;` between them.', ad: LOCATION.adSite } },
  },
  '/sms_slp/sites/{code}': { get: site('What is known of a site, at a server locator point') },
  '/sms_fsp/state': { post: state('A state message for the fallback status point') },
  '/sms_fsp/.sms_fsp': { post: state('The same by its old name') },
  '/SMS_MP/.sms_aut': {
    get: {
      summary: 'Management points and certificate in the XML of ConfigMgr',
      description: 'The query is one of `MPLIST`, `MPLIST1`, `MPLIST2&SITE`, `MPCERT`, `MPKEYINFORMATION`, without a value.',
      type: 'text/xml',
    },
  },
  '/CCM_Client/{file}': {
    get: content('A file of the default package; the ETag is its SHA-256'),
    head: content('Its size and hash'),
  },
  '/CCM_Client/{sha256}/{file}': { get: content('A file by its SHA-256'), head: content('Its size and hash') },
  '/sms_mp/machine.ccr': {
    'x-sms_post': {
      summary: 'Ask for a CCR, with the method SMS_POST of SMS 2003',
      query: {
        mn: 'Name of the machine',
        dn: 'Its domain',
        fkey: 'Whether the client is installed anew',
        ct: 'Taken, no meaning',
        dc: 'Whether a domain controller may be taken',
      },
      type: 'text/plain',
    },
  },
};

function parameters(path: string, { signedBy, query = {} }: Operation): unknown[] {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: text }));
  const inQuery = Object.entries(query).map(([name, description]) => ({ name, in: 'query', description, schema: text }));
  const inHead = (signedBy ? SIGNED[signedBy] : []).map((key) => ({
    name: SIGNATURE_HEADERS[key],
    in: 'header',
    required: signedBy !== 'signer' || !['client', 'token'].includes(key),
    schema: text,
  }));
  return [...inPath, ...inQuery, ...inHead];
}

function described(path: string, operation: Operation): unknown {
  const { summary, description, takes, gives, type = 'application/json', statuses = {} } = operation;
  const answer = gives === undefined ? {} : ref(gives);
  return {
    summary,
    ...(description !== undefined && { description }),
    parameters: parameters(path, operation),
    ...(takes !== undefined && { requestBody: { required: true, content: { 'application/json': { schema: ref(takes) } } } }),
    responses: {
      200: { description: 'Done', content: { [type]: { schema: answer } } },
      ...Object.fromEntries(Object.entries(statuses).map(([status, words]) => [status, { description: words }])),
      default: {
        description: 'Refused, and why (RFC 9457)',
        content: { 'application/problem+json': { schema: ref('Problem') } },
      },
    },
  };
}

/** pointsDocument is the OpenAPI document of management, locator and fallback status points. */
export function pointsDocument(version: string): unknown {
  const paths = Object.entries(operations).map(([path, methods]) => [
    path,
    Object.fromEntries(Object.entries(methods).map(([method, operation]) => [method, described(path, operation)])),
  ]);
  return {
    openapi: '3.1.0',
    info: {
      title: 'Pushpoint points',
      version,
      description: 'What clients talk to. How requests are signed stands in docs/points.md.',
    },
    paths: Object.fromEntries(paths) as unknown,
    components: { schemas },
  };
}
