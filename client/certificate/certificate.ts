import { X509Certificate, createPrivateKey } from 'node:crypto';
import { layout, type ClientCertificate, type TargetHost } from '#client/host';
import type { ClientLog } from '#client/log';
import type { ClientProperties } from '#client/properties';

const LARGEST = 65_536;
const CLIENT_AUTHENTICATION = '1.3.6.1.5.5.7.3.2';
const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const KEY = /-----BEGIN ([A-Z ]*)PRIVATE KEY-----[^-]+(?:-[^-]+)*-----END \1PRIVATE KEY-----/;

/** What stands in the files, and what was made of it. */
interface Loaded {
  text: string;
  made: ClientCertificate;
  of: X509Certificate;
}

/** Why a certificate cannot be shown, in words for the log: never a word of what stands in the files. */
class Unusable extends Error {}

/**
 * MachineCertificate is the certificate with which this machine proves itself to points in native mode, of the files that the installation names
 * or of the client's folder. They are read whenever a request goes out, so that a renewed one counts with the next request. One that has
 * expired, is for servers, or has another's key is not shown: a site in mixed mode takes the client without.
 */
class MachineCertificate {
  readonly #host: TargetHost;
  readonly #named: Pick<ClientProperties, 'certificateFile' | 'certificateKeyFile'>;
  readonly #log: ClientLog | undefined;
  #read: Loaded | undefined;
  #why: string | undefined;
  #said: string | undefined;

  constructor(host: TargetHost, named: ClientProperties, log: ClientLog | undefined) {
    this.#host = host;
    this.#named = named;
    this.#log = log;
  }

  /** why tells why none is shown; undefined where one is. */
  get why(): string | undefined {
    return this.#why;
  }

  /** now gives it as the files are at this moment. */
  async now(): Promise<ClientCertificate | undefined> {
    try {
      const { made, of } = await this.#current();
      this.#why = undefined;
      const subject = of.subject.replaceAll('\n', ', ');
      this.#say(`Points that ask for a client certificate are shown that of ${subject}, valid until ${iso(of.validToDate)}`);
      return made;
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      this.#why = error.message;
      this.#say(`No client certificate can be shown: ${error.message}`);
      return undefined;
    }
  }

  async #current(): Promise<Loaded> {
    const file = this.#named.certificateFile ?? layout.certificate;
    const text = await this.#text(file);
    const keyFile = this.#named.certificateKeyFile ?? (KEY.test(text) ? file : layout.certificateKey);
    const keyText = keyFile === file ? text : await this.#text(keyFile);
    const both = `${text}\n${keyText}`;
    if (this.#read?.text !== both) this.#read = { text: both, ...this.#made(file, text, keyFile, keyText) };
    const { of } = this.#read;
    const now = this.#host.clock.now();
    if (of.validToDate < now) throw new Unusable(`${this.#shown(file)} has expired on ${iso(of.validToDate)}`);
    if (of.validFromDate > now) throw new Unusable(`${this.#shown(file)} is not valid before ${iso(of.validFromDate)}`);
    return this.#read;
  }

  #made(file: string, text: string, keyFile: string, keyText: string): Omit<Loaded, 'text'> {
    const chain = text.match(CERTIFICATES);
    if (!chain) throw new Unusable(`${this.#shown(file)} holds no certificate in PEM`);
    const of = attempt(() => new X509Certificate(chain[0]), `${this.#shown(file)} holds a certificate that cannot be read`);
    const pem = KEY.exec(keyText)?.[0];
    if (pem === undefined) throw new Unusable(`${this.#shown(keyFile)} holds no private key in PEM`);
    const key = attempt(
      () => createPrivateKey(pem),
      `${this.#shown(keyFile)} holds a key that cannot be read; one with a passphrase has to be kept without it`,
    );
    if (!of.checkPrivateKey(key)) throw new Unusable(`${this.#shown(keyFile)} holds the key of another certificate`);
    // One that names no purpose is for all.
    if (of.keyUsage && !of.keyUsage.includes(CLIENT_AUTHENTICATION))
      throw new Unusable(`${this.#shown(file)} is not for client authentication`);
    return { made: { cert: chain.join('\n'), key: pem }, of };
  }

  async #text(path: string): Promise<string> {
    let bytes: Uint8Array | undefined;
    try {
      bytes = await this.#host.readFile(path);
    } catch (error) {
      this.#host.signal.throwIfAborted();
      throw new Unusable(`${this.#shown(path)} cannot be read (${(error as { code?: string }).code ?? 'unknown'})`);
    }
    if (!bytes) throw new Unusable(`there is no ${this.#shown(path)}`);
    if (bytes.length > LARGEST) throw new Unusable(`${this.#shown(path)} is longer than ${LARGEST} bytes`);
    return new TextDecoder().decode(bytes);
  }

  #shown(path: string): string {
    return this.#host.pathOf?.(path) ?? path;
  }

  /** say writes what has changed. That there is none is nothing to say as long as nobody wanted one to be there. */
  #say(line: string): void {
    if (line === this.#said) return;
    const isWanted =
      this.#named.certificateFile !== undefined || !this.#why?.startsWith('there is no ') || this.#said !== undefined;
    this.#said = line;
    if (this.#why === undefined) this.#log?.info(line);
    else if (isWanted) this.#log?.warn(line);
  }
}

const iso = (date: Date) => date.toISOString().slice(0, 19) + 'Z';

function attempt<T>(make: () => T, why: string): T {
  try {
    return make();
  } catch {
    throw new Unusable(why);
  }
}

/**
 * proving is a host that proves itself: each https request it sends can show the certificate of this machine to a point that asks for one. The
 * others never see it.
 */
export function proving(host: TargetHost, properties: ClientProperties, log?: ClientLog): TargetHost {
  const certificate = new MachineCertificate(host, properties, log);
  const own: Pick<TargetHost, 'fetch' | 'unproven'> = {
    fetch: async (url, init) => {
      if (!url.startsWith('https:')) return host.fetch(url, init);
      const shown = await certificate.now();
      return host.fetch(url, shown ? { ...init, certificate: shown } : init);
    },
    unproven: () => certificate.why,
  };
  // What the host tells of the machine may change while it runs, so it is asked and not copied.
  return Object.assign(Object.create(host) as TargetHost, own);
}
