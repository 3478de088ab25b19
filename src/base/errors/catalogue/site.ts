import type { Entry } from '../entry.ts';

/** siteErrors: (see below). */
export const siteErrors = {
  PP_SITE_NOT_HERE: {
    origin: 'misconfigured',
    message: '{data} holds no site',
    http: 404,
    cause: 'The folder is not the data folder of a site, or the site was never created there.',
    remedy: 'Create one with pushpoint site create CODE --data DIR, or correct the folder.',
    again: 'never',
  },
  PP_SITE_EXISTS: {
    origin: 'misconfigured',
    message: '{data} already holds the site {code}',
    http: 409,
    cause: 'A data folder belongs to exactly one site.',
    remedy: 'Use another folder, or pushpoint up --data DIR to run the site that is there.',
    again: 'never',
  },
  PP_SITE_FOLDER: {
    origin: 'misconfigured',
    message: 'the data folder {data} cannot be used: {why}',
    win32: 5,
    cause: 'The site server must be able to create, read and write its data folder.',
    remedy: 'Give the user that runs Pushpoint the right to write there, free some disk space, or choose another folder.',
    again: 'wait',
  },
  PP_SITE_RUNNING: {
    origin: 'refused',
    message: 'the site in {data} is already running (process {pid})',
    http: 409,
    cause: 'Another process serves this data folder, and only one can hold its ports and its inbox role.',
    remedy: 'Stop that process first, or start this one with other --roles and --console none.',
    again: 'never',
  },
  PP_SITE_LISTEN: {
    origin: 'misconfigured',
    message: 'cannot listen on {address}: {why}',
    win32: 10048,
    cause:
      'The port is taken by another program, the address is not one of this machine, or the port is below 1024 and the user is not root.',
    remedy: 'Choose another address with --listen or --console, or stop the other program.',
    again: 'wait',
  },
} as const satisfies Record<string, Entry>;
