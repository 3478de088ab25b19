import { X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Log } from '#base/log';
import { revocationLists, type ListenerTls } from '#wire/http';
import { readCertificate, readFile } from './listeners.ts';

/** How soon a file that was replaced is noticed. */
const LOOK_MS = 30_000;

/** Tls is what was read of the files. */
export type Tls = ListenerTls & { cert: Buffer; key: Buffer };

/** TlsWish names the files of an HTTPS listener: its certificate with its key, and the authorities of client certificates with what they revoked. */
export interface TlsWish {
  certificateFile: string | undefined;
  keyFile: string | undefined;
  clientCaFile?: string | undefined;
  clientCrlFile?: string | undefined;
}

/** readTls reads and checks the files, so that a wrong one is told at start and not at the first client. */
export function readTls(wish: TlsWish, now: Date): Tls {
  const { clientCaFile, clientCrlFile } = wish;
  const own = readCertificate(wish.certificateFile, wish.keyFile, now);
  if (clientCaFile === undefined) {
    if (clientCrlFile !== undefined) throw raise('PP_CLI_USAGE', { why: '--client-crl goes with --client-ca FILE' });
    return own;
  }
  const ca = textOf(clientCaFile);
  const authorities = tryTo(clientCaFile, 'it holds no certificate in PEM form', () => {
    const found = ca.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
    if (found.length === 0) throw new Error('none');
    return found.map((pem) => new X509Certificate(pem));
  });
  const late = authorities.find(({ validToDate }) => validToDate < now);
  if (late) throw raise('PP_CLI_FILE', { file: clientCaFile, why: `the authority ${oneLine(late.subject)} has expired` });
  if (clientCrlFile === undefined) return { ...own, clients: { ca, crl: '' } };
  const crl = textOf(clientCrlFile);
  const lists = tryTo(clientCrlFile, 'it is no certificate revocation list in PEM form', () => revocationLists(crl));
  if (lists.length === 0)
    throw raise('PP_CLI_FILE', { file: clientCrlFile, why: 'it holds no certificate revocation list in PEM form' });
  return { ...own, clients: { ca, crl } };
}

const oneLine = (subject: string): string => subject.replaceAll('\n', ', ');

function textOf(file: string): string {
  return readFile(file).toString('utf8');
}

function tryTo<T>(file: string, why: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw raise('PP_CLI_FILE', { file, why }, { cause });
  }
}

/** markOf changes when a file is replaced or written. */
function markOf(file: string | undefined): string {
  if (file === undefined) return '';
  const { mtimeMs, size, ino } = statSync(file, { throwIfNoEntry: false }) ?? { mtimeMs: 0, size: -1, ino: 0 };
  return `${mtimeMs} ${size} ${ino}`;
}

/**
 * TlsFiles looks every half minute whether one of the files was replaced, as certificates and revocation lists are, and puts what they hold
 * now into `tls`. While a new file is wrong, as one that is just being written, the old contents stay, and the log says so.
 */
export class TlsFiles {
  readonly #wish: TlsWish;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #renewed: () => void;
  readonly tls: Tls;
  #mark: string;
  #cancel: () => void = () => {};

  constructor(wish: TlsWish, o: { tls: Tls; clock: Clock; log: Log; renewed: () => void }) {
    this.#wish = wish;
    this.#clock = o.clock;
    this.#log = o.log;
    this.#renewed = o.renewed;
    this.tls = o.tls;
    this.#mark = this.#now();
    this.#warn();
    this.#again();
  }

  #now(): string {
    const { certificateFile, keyFile, clientCaFile, clientCrlFile } = this.#wish;
    return [certificateFile, keyFile, clientCaFile, clientCrlFile].map(markOf).join(' ');
  }

  #again(): void {
    this.#cancel = this.#clock.after(LOOK_MS, () => this.#look());
  }

  #look(): void {
    this.#again();
    const mark = this.#now();
    if (mark === this.#mark) return this.#warn();
    try {
      Object.assign(this.tls, readTls(this.#wish, this.#clock.now()));
      this.#renewed();
      this.#mark = mark;
      this.#log.info('certificate files read again', {});
      this.#warn();
    } catch (error) {
      this.#log.error('a certificate file was replaced by one that cannot be used; the old contents stay', { error });
    }
  }

  /** A list that has expired shuts everybody out in native mode, so it is said as long as it is so. */
  #warn(): void {
    const now = this.#clock.now();
    for (const { until } of revocationLists(this.tls.clients?.crl ?? ''))
      if (until && until < now)
        this.#log.error('the certificate revocation list has expired: in native mode no client is let in', {
          file: this.#wish.clientCrlFile,
          until: until.toISOString(),
        });
  }

  stop(): void {
    this.#cancel();
  }
}
