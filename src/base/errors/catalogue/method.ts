import type { Entry } from '../entry.ts';

/** methodErrors: discovery methods, what they are told to look at, and their runs. */
export const methodErrors = {
  PP_DISCOVERY_METHOD: {
    origin: 'misconfigured',
    message: 'there is no discovery method {method} that runs; there is {methods}',
    http: 404,
    cause: 'Methods that run are asked for by name. Import and heartbeat bring machines by themselves and have no runs.',
    remedy: 'Look at pushpoint discover list.',
    again: 'never',
  },
  PP_DISCOVERY_TARGET: {
    origin: 'misconfigured',
    message: '{target} cannot be discovered: {why}',
    http: 400,
    cause:
      'Network discovery takes addresses, networks as ADDRESS/LENGTH and ranges as FIRST-LAST, of IPv4 or IPv6, in which machines can be.',
    remedy: 'Write it like 10.1.0.0/16, 10.2.0.10-10.2.0.99, 2001:db8:1::/120 or 10.3.0.7.',
    again: 'never',
  },
  PP_DISCOVERY_TOO_MANY: {
    origin: 'misconfigured',
    message: 'these are {count} addresses, and one run asks at most {most}',
    http: 400,
    cause: 'A run over more addresses takes hours; an IPv6 network has more of them than can ever be asked.',
    remedy:
      'Give the networks in which machines are, or parts of them. Of an IPv6 network give the addresses themselves, for example those of the DHCP server, or import them.',
    again: 'never',
  },
  PP_DISCOVERY_NO_TARGETS: {
    origin: 'misconfigured',
    message: 'network discovery has no addresses to ask',
    http: 409,
    cause: 'No networks were given, or the exclusions leave none of their addresses.',
    remedy: 'Give networks with pushpoint discover set network CIDR…, or for one run with pushpoint discover network CIDR….',
    again: 'never',
  },
  PP_DISCOVERY_SETTING: {
    origin: 'misconfigured',
    message: 'the setting {setting} of the discovery method is wrong: {why}',
    http: 400,
    cause: 'The value has another form than the setting, or is out of its range.',
    remedy: 'pushpoint discover set network --help tells what each one takes.',
    again: 'never',
  },
  PP_DISCOVERY_RUN: {
    origin: 'misconfigured',
    message: 'there is no run {run}',
    http: 404,
    cause: 'Nobody asked for it, or it is so old that it was forgotten: of each method the last 200 runs are kept.',
    remedy: 'Look at pushpoint discover list for the runs that are known.',
    again: 'never',
  },
  PP_DISCOVERY_RUN_OVER: {
    origin: 'refused',
    message: 'run {run} cannot be cancelled: it is {state}',
    http: 409,
    cause: 'It ended before.',
    remedy: 'Nothing needs to be done; pushpoint discover show tells how it ended.',
    again: 'never',
  },
} as const satisfies Record<string, Entry>;
