import type { Entry } from './entry.ts';
import { answerErrors } from './catalogue/answers.ts';
import { clientErrors } from './catalogue/client.ts';
import { doctorErrors } from './catalogue/doctor.ts';
import { hierarchyErrors } from './catalogue/hierarchy.ts';
import { logonErrors } from './catalogue/logon.ts';
import { methodErrors } from './catalogue/method.ts';
import { networkErrors } from './catalogue/network.ts';
import { pushErrors } from './catalogue/push.ts';
import { requestErrors } from './catalogue/request.ts';
import { siteErrors } from './catalogue/site.ts';
import { smbErrors } from './catalogue/smb.ts';
import { storeErrors } from './catalogue/store.ts';
import { targetErrors } from './catalogue/target.ts';

/** catalogue holds every error the product can name; docs/errors.md shows it and a test holds the two together. */
export const catalogue = {
  ...networkErrors,
  ...logonErrors,
  ...smbErrors,
  ...targetErrors,
  ...answerErrors,
  ...pushErrors,
  ...requestErrors,
  ...siteErrors,
  ...hierarchyErrors,
  ...methodErrors,
  ...doctorErrors,
  ...storeErrors,
  ...clientErrors,
} as const satisfies Record<string, Entry>;

export type Code = keyof typeof catalogue;
