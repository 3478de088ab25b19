import type { Entry } from '../entry.ts';

/** doctorErrors: examinations, and what they find that no push meets. */
export const doctorErrors = {
  PP_DOCTOR_BUSY: {
    origin: 'refused',
    message: '{waiting} examinations wait already',
    http: 429,
    cause:
      'Examinations are for people; something asks for them faster than they can be made, or no process with the role ccm takes them.',
    remedy: 'Wait until they are done. For many machines use push --inspect, which goes through the queue.',
    again: 'retry',
  },
  PP_DOCTOR_NOT_TAKEN: {
    origin: 'timeout',
    message: 'nobody took the examination within {seconds} seconds',
    http: 504,
    cause: 'No process of this site runs the role ccm, or the one that does is stuck: then no CCR is worked off either.',
    remedy: 'Start pushpoint up on the data folder (with --roles, ccm must be among them), and look into logs/pushpoint.log.',
    again: 'retry',
  },
  PP_DOCTOR_REFUSED_BEFORE: {
    origin: 'refused',
    message: '{host} refused the user name or the password of {account} at {at}, so it was not asked again',
    win32: 1326,
    http: 502,
    cause: 'Nothing changed at the push account since; each more wrong logon counts towards locking it.',
    remedy:
      'Correct the push account: pushpoint account resume NAME --password-file FILE lets it be tried at once. Else examine again an hour after that refusal.',
    again: 'wait',
  },
  PP_DOCTOR_POINT: {
    origin: 'unreachable',
    message: '{url} cannot be used: {why}',
    http: 502,
    cause:
      'The management point does not run, listens elsewhere than it is advertised, or something between (a firewall, a proxy, a wrong name) keeps requests away.',
    remedy:
      'See that a process with the role mp runs, and that the address of pushpoint point set mp is the one it listens at, by a name that clients can resolve.',
    again: 'retry',
  },
  PP_DOCTOR_NAME_ELSEWHERE: {
    origin: 'misconfigured',
    message: 'DNS says {dns} and discovery knows {known}',
    cause: 'The machine got another address since it was discovered, or its DNS record is stale (scavenging is off).',
    remedy: 'Discover or import the machine anew; remove the stale record from the zone.',
    again: 'retry',
  },
  PP_DOCTOR_REVERSE: {
    origin: 'misconfigured',
    message: '{address} is called {names} by reverse DNS',
    cause:
      'The PTR record is left over from the machine that had the address before, or the address belongs to another machine now.',
    remedy: 'Correct the PTR record, or look which machine has the address now.',
    again: 'retry',
  },
  PP_DOCTOR_CLOCK: {
    origin: 'misconfigured',
    message: 'the clock of {host} is {by}',
    win32: 1398,
    cause: 'The machine has a wrong time, a flat battery, or no source of time; a virtual machine was restored from a snapshot.',
    remedy:
      'Run w32tm /resync on the machine. Kerberos allows five minutes; registration tokens and certificates have dates too.',
    again: 'retry',
  },
} as const satisfies Record<string, Entry>;
