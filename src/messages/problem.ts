import * as Type from 'typebox';
import { Instant, text } from './fields.ts';

/** Problem is how a point says no (RFC 9457), with our code and, so that a client can mend its clock, the site's time. */
export const Problem = Type.Object({
  type: Type.Optional(text(256)),
  title: Type.Optional(text(512)),
  status: Type.Optional(Type.Integer({ minimum: 100, maximum: 599 })),
  detail: Type.Optional(Type.String({ maxLength: 4096 })),
  code: text(64),
  serverTime: Type.Optional(Instant),
});
export type Problem = Type.Static<typeof Problem>;
