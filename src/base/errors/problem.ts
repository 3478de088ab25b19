import { PushpointError } from './error.ts';

/** Problem is an error as HTTP answers show it (RFC 9457), with our code, cause and remedy as extension members. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  cause?: string;
  remedy?: string;
}

/** problemOf turns any error into a problem; what is not one of ours is a defect and tells nothing of its inside. */
export function problemOf(error: unknown): Problem {
  if (error instanceof PushpointError) {
    return {
      type: `urn:pushpoint:error:${error.code}`,
      title: error.origin,
      status: error.http,
      detail: error.message,
      code: error.code,
      cause: error.reason,
      remedy: error.remedy,
    };
  }
  return {
    type: 'about:blank',
    title: 'defect',
    status: 500,
    detail: 'the server failed on this request; its log tells more',
    code: 'PP_DEFECT',
  };
}
