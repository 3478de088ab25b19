import { createHash } from 'node:crypto';
import { HASH, type SetupOutcome } from '#test/setup-outcome';
import { payload } from '#test/target';
import type { MobileClient } from '#messages';
import type { HonestMp } from '#test/honest-mp';

/**
 * What both programs called ccmsetup do, the one in TypeScript and the one in C: the same command line, the same mobileclient.tcf and the same
 * management point give the same return code, the same state messages and the same requests.
 */
export interface SetupCase {
  args?: string[];
  /** The points are asked by https, and there is a second one, which has no files; each has a certificate of its own. */
  https?: boolean;
  /** What differs from the plain mobileclient.tcf. */
  tcf?: (mp: HonestMp, other: HonestMp) => Partial<MobileClient>;
  /** What somebody did to the text of it. */
  edit?: (text: string) => string;
  /** What lies on the machine, below C:\. */
  files?: Record<string, Uint8Array>;
  mp?: (mp: HonestMp) => void;
  /** The return code, the state messages (id, who vouches for it, exit code), and the requests; HASH stands for that of the file. */
  code: number;
  states: string[];
  asked: string[];
  /** The files that the second point was asked for. */
  elsewhere?: string[];
}

const PAYLOAD = payload(20_000);
const FIRST = payload(5_000, 'first');
const describe = (file: string, bytes: Uint8Array) => ({
  file,
  sha256: createHash('sha256').update(bytes).digest('hex'),
  size: bytes.length,
});
const exits = (code: number) => `cmd.exe /c exit ${code}`;

/** plainTcf is the file of a push that goes well. */
export function plainTcf(mp: HonestMp, machine: string): MobileClient {
  return {
    properties: 'SMSSITECODE=P01',
    site: 'P01',
    managementPoints: [mp.url],
    fallbackStatusPoint: mp.url,
    payload: { ...describe('payload.bin', PAYLOAD), version: '0.1.0', command: exits(0) },
    registration: { machine, tokenId: 'token-0001', token: 'secret-of-the-token-0001', expires: '2099-01-01T00:00:00.000Z' },
  };
}

/** serve puts the files and the token of that push on the management point. */
export function serve(mp: HonestMp): void {
  mp.files.set('payload.bin', PAYLOAD).set('first.bin', FIRST);
  mp.tokens.set('token-0001', { secret: 'secret-of-the-token-0001', used: false });
}

const STATE = 'POST /ccm_system/state';
const FSP = 'POST /sms_fsp/.sms_fsp';
/** Downloads name the push by its token, unsigned. */
const AS = 'as token-0001';
const GET = `GET /CCM_Client/${HASH}/payload.bin ${AS}`;
const PLAIN_GET = `GET /CCM_Client/payload.bin ${AS}`;
const FIRST_GET = `GET /CCM_Client/${HASH}/first.bin ${AS}`;
const done = { code: 0, states: ['100 signed', '400 signed 0'], asked: [STATE, GET, STATE] };
const refused = { code: 6, states: ['307 signed 6'], asked: [STATE] };
const failed = (code: number, state: number, ...asked: string[]) => ({
  code,
  states: ['100 signed', `${state} signed ${code}`],
  asked: [STATE, ...asked, STATE],
});
const command = (code: number) => () => ({
  payload: { ...describe('payload.bin', PAYLOAD), version: '0.1.0', command: exits(code) },
});
const prerequisite = (code: number) => () => ({ prerequisites: [{ ...describe('first.bin', FIRST), command: exits(code) }] });
const line = (...args: string[]) => ({ args });
const pinOf = (mp: HonestMp) => mp.certificate!.pin;
const both = (mp: HonestMp, other: HonestMp) => ({ managementPoints: [other.url, mp.url] });
const OWN_PIN = /^(CertificatePin=.*)$/m;

export const cases: Record<string, SetupCase> = {
  'a push that goes well': done,
  'parameters without a meaning here, in any spelling': {
    ...line('/BITSPriority:low', '-RETRY:5', '/service', '/DownloadTimeout:43200', 'SMSCACHESIZE=500', 'DNSSUFFIX='),
    ...done,
  },
  'a parameter that nobody knows': { ...line('/frobnicate'), ...refused },
  'a word that is none': { ...line('frobnicate'), ...refused },
  'a value where none belongs': { ...line('/uninstall:now'), ...refused },
  'no value where one belongs': { ...line('/mp:'), ...refused },
  'a retry of no time': { ...line('/retry:0'), ...refused },
  'a retry of more than a day': { ...line('/retry:1441'), ...refused },
  'a priority that BITS has not': { ...line('/BITSPriority:HIGHEST'), ...refused },
  'a property with a quote in it': { ...line('A="B'), ...refused },
  'no token: the fallback status point hears it': {
    tcf: () => ({ registration: undefined! }),
    code: 0,
    states: ['100 unsigned', '400 unsigned 0'],
    asked: [FSP, `GET /CCM_Client/${HASH}/payload.bin`, FSP],
  },
  'a token that the point does not know: the fallback status point hears it too': {
    mp: (mp) => mp.tokens.clear(),
    code: 0,
    states: ['100 unsigned', '400 unsigned 0'],
    asked: [STATE, FSP, GET, STATE, FSP],
  },
  'other bytes than the file names': {
    mp: (mp) => void mp.files.set('payload.bin', payload(20_000, 'other')),
    ...failed(10, 325, GET, PLAIN_GET),
  },
  'bytes of another length': {
    mp: (mp) => void mp.files.set('payload.bin', payload(19_000)),
    ...failed(10, 325, GET, PLAIN_GET),
  },
  'nobody has the file': {
    ...line('/retry:2', '/downloadtimeout:1'),
    mp: (mp) => void mp.files.delete('payload.bin'),
    code: 6,
    states: ['100 signed', '101 signed', '308 signed 6'],
    asked: [STATE, GET, PLAIN_GET, STATE, STATE],
  },
  'a point that gives nothing, and one that does': {
    tcf: (mp) => ({ managementPoints: [`${mp.url}/nothing`, mp.url] }),
    code: 0,
    states: ['100 signed', '400 signed 0'],
    asked: [
      'POST /nothing/ccm_system/state',
      STATE,
      `GET /nothing/CCM_Client/${HASH}/payload.bin ${AS}`,
      `GET /nothing/CCM_Client/payload.bin ${AS}`,
      GET,
      'POST /nothing/ccm_system/state',
      STATE,
    ],
  },
  'other points by /mp, for the files only': {
    args: ['/mp:http://127.0.0.1:1;@'],
    ...done,
  },
  'a folder by /source, with nothing asked of the point but to listen': {
    ...line(String.raw`/source:C:\nowhere`, String.raw`/source:C:\share`),
    files: { 'share/payload.bin': PAYLOAD },
    code: 0,
    states: ['100 signed', '400 signed 0'],
    asked: [STATE, STATE],
  },
  'a folder with another file: the hash judges it': {
    ...line(String.raw`/source:C:\share`),
    files: { 'share/payload.bin': FIRST },
    ...done,
  },
  'an older system than the package is for': {
    tcf: () => ({ requires: { minimumBuild: 99_999 } }),
    ...failed(9, 319),
  },
  'another architecture': { tcf: () => ({ requires: { architectures: ['arm64'] } }), ...failed(9, 319) },
  'that check left out': { ...line('/skipprereq:OS'), tcf: () => ({ requires: { architectures: ['arm64'] } }), ...done },
  'no room for what the package asks': { tcf: () => ({ requires: { freeBytes: 9_000_000_000_000 } }), ...failed(9, 312) },
  'a prerequisite first': { tcf: prerequisite(0), ...done, asked: [STATE, FIRST_GET, GET, STATE] },
  'a prerequisite left out': { ...line('/skipprereq:first.bin'), tcf: prerequisite(5), ...done },
  'a prerequisite that fails': { tcf: prerequisite(5), ...failed(9, 301, FIRST_GET) },
  'a prerequisite that wants a restart': { tcf: prerequisite(3010), ...failed(7, 317, FIRST_GET) },
  'an installer that fails': { tcf: command(1603), ...failed(6, 313, GET) },
  'an installer that wants a restart': {
    tcf: command(3010),
    code: 7,
    states: ['100 signed', '401 signed 7'],
    asked: [STATE, GET, STATE],
  },
  'an installer that restarts the machine itself': {
    tcf: command(1641),
    code: 7,
    states: ['100 signed', '401 signed 7'],
    asked: [STATE, GET, STATE],
  },
  'two points with certificates of their own, and the pins of both: each is asked': {
    https: true,
    tcf: (mp, other) => ({ ...both(mp, other), certificatePins: [pinOf(mp), pinOf(other)] }),
    ...done,
    elsewhere: [GET, PLAIN_GET],
  },
  'the same with one pin: the other point is passed over': {
    https: true,
    tcf: (mp, other) => ({ ...both(mp, other), certificatePins: [pinOf(mp)] }),
    ...done,
  },
  'pins as people paste them, with capitals, colons and blanks': {
    https: true,
    tcf: (mp, other) => ({ ...both(mp, other), certificatePins: [pinOf(other), pinOf(mp)] }),
    edit: (text) =>
      text.replace(OWN_PIN, (own) => own.replace(/[0-9a-f]{64}/g, (pin) => ` ${pin.toUpperCase().match(/../g)!.join(':')} `)),
    ...done,
    elsewhere: [GET, PLAIN_GET],
  },
  'a list of pins of nothing but a comma': {
    https: true,
    tcf: (mp) => ({ certificatePins: [pinOf(mp)] }),
    edit: (text) => text.replace(OWN_PIN, 'CertificatePin=,'),
    code: 6,
    states: [],
    asked: [],
  },
  'a list of pins of more than can be taken': {
    https: true,
    tcf: (mp) => ({ certificatePins: [pinOf(mp)] }),
    edit: (text) => text.replace(OWN_PIN, (own) => `${own}${`,${'ab'.repeat(32)}`.repeat(32)}`),
    code: 6,
    states: [],
    asked: [],
  },
  'a file that is not there': { ...line('/config:none.tcf'), code: 6, states: [], asked: [] },
  'nothing to remove': { ...line('/uninstall'), code: 0, states: [], asked: [] },
};

/** wantedOf is what a run of a case has to show. */
export const wantedOf = ({ code, states, asked, elsewhere }: SetupCase): SetupOutcome => ({
  code,
  states,
  asked,
  ...(elsewhere && { elsewhere }),
});
