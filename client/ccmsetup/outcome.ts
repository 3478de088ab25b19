import { PushpointError, type Code } from '#base/errors';
import type { DeploymentState } from '#messages';

/** RETURN holds the return codes of ccmsetup (facts D2). */
export const RETURN = { ok: 0, error: 6, reboot: 7, running: 8, prerequisite: 9, hash: 10 } as const;

/** Outcome is how a run ends: the state message of topic 800 (facts F7) and the return code. */
export interface Outcome {
  state: DeploymentState;
  exit: number;
}

const outcomes: Partial<Record<Code, Outcome>> = {
  PP_SETUP_COMMAND_LINE: { state: 307, exit: RETURN.error },
  PP_TCF_MALFORMED: { state: 314, exit: RETURN.error },
  PP_SETUP_DISK_FULL: { state: 312, exit: RETURN.prerequisite },
  PP_SETUP_UNSUPPORTED: { state: 320, exit: RETURN.prerequisite },
  PP_SETUP_SYSTEM: { state: 319, exit: RETURN.prerequisite },
  PP_SETUP_RESTART: { state: 317, exit: RETURN.reboot },
  PP_SETUP_PREREQUISITE: { state: 301, exit: RETURN.prerequisite },
  PP_SETUP_DOWNLOAD: { state: 308, exit: RETURN.error },
  PP_CLIENT_PIN: { state: 308, exit: RETURN.error },
  PP_SETUP_HASH: { state: 325, exit: RETURN.hash },
  PP_SETUP_SERVICE: { state: 302, exit: RETURN.error },
  PP_SETUP_INSTALLER: { state: 313, exit: RETURN.error },
};

/** outcomeOf sorts what went wrong; what nobody thought of is state 301. */
export function outcomeOf(error: unknown): Outcome {
  return (error instanceof PushpointError && outcomes[error.code]) || { state: 301, exit: RETURN.error };
}
