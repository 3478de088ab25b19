import { raise } from '#base/errors';
import { examineOffline } from '#executive';
import { examine, showExamination, type ExaminationJson } from '../examination.ts';
import { usage } from '../failure.ts';
import { EXIT, printJson } from '../output.ts';
import type { Context, Verbs } from '../verb.ts';

interface DoctorOptions {
  logon: boolean;
  all?: boolean;
}

/** doctorVerb: doctor [HOST]. */
export function doctorVerb(verbs: Verbs): void {
  verbs
    .add<DoctorOptions>(undefined, {
      name: 'doctor [host]',
      does: 'why does a machine not get its client? Every step of a push is tried without installing; without a name the site server is examined',
      examples: [
        'pushpoint doctor LAB-W11-01 --data ./p01',
        'pushpoint doctor LAB-W11-01 --all --data ./p01       (also what is well)',
        'pushpoint doctor LAB-W11-01 --no-logon --data ./p01  (no credential is used)',
        'pushpoint doctor --data ./p01                        (the site server, running or not)',
        `pushpoint doctor LAB-W11-01 --json --data ./p01 | jq '.checks[] | select(.verdict == "problem")'`,
      ],
      async run(context, { logon, all }, host) {
        if (host === undefined && !logon) throw usage('--no-logon goes with the name of a machine');
        const done = await examined(context, host, logon);
        if (context.json) printJson(done);
        else showExamination(done, all === true);
        return done.state === 'done' && !done.checks.some(({ verdict }) => verdict === 'problem') ? EXIT.ok : EXIT.failed;
      },
    })
    .option('--no-logon', 'use no credential: only what can be seen before a logon')
    .option('--all', 'also the checks that found nothing wrong');
}

async function examined(context: Context, host: string | undefined, logon: boolean): Promise<ExaminationJson> {
  const idle = await context.idleFolder();
  if (idle !== undefined) {
    // Credentials are used by the site server alone, where the stop rules of accounts are kept.
    if (host !== undefined) throw raise('PP_SITE_NOT_RUNNING', { data: idle });
    return examineOffline(idle);
  }
  let answer: ExaminationJson | undefined;
  await context.withApi(async (api) => {
    answer = await examine(api, { ...(host === undefined ? {} : { host }), logon });
    return EXIT.ok;
  });
  return answer!;
}
