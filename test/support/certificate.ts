import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';

/** SelfMade is a fresh self-signed certificate for 127.0.0.1 and localhost. */
export interface SelfMade {
  key: string;
  cert: string;
  /** Hex SHA-256 of the certificate, as a certificate pin. */
  pin: string;
}

/** der writes one tag-length-value (X.690, section 8.1) of its parts. */
function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const n = body.length;
  const length = n < 128 ? [n] : n < 256 ? [0x81, n] : [0x82, n >> 8, n & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'));
const ECDSA_SHA256 = der(0x30, oid('2a8648ce3d040302'));

/** selfMade makes an X.509 v3 certificate (RFC 5280, section 4.1), valid from 2020 to the end of a year (YYMMDD), with its own P-256 key. */
export function selfMade(until = '491231'): SelfMade {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = der(0x30, der(0x31, der(0x30, oid('550403'), der(0x0c, Buffer.from('Pushpoint test')))));
  const validity = der(0x30, der(0x17, Buffer.from('200101000000Z')), der(0x17, Buffer.from(`${until}235959Z`)));
  const names = der(0x30, der(0x82, Buffer.from('localhost')), der(0x87, Buffer.from([127, 0, 0, 1])));
  const extensions = der(0xa3, der(0x30, der(0x30, oid('551d11'), der(0x04, names))));
  const serial = der(
    0x02,
    Buffer.from([0x01]),
    createHash('sha256')
      .update(publicKey.export({ type: 'spki', format: 'der' }))
      .digest()
      .subarray(0, 8),
  );
  const tbs = der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))),
    serial,
    ECDSA_SHA256,
    name,
    validity,
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    extensions,
  );
  const signature = der(0x03, Buffer.from([0]), sign('sha256', tbs, privateKey));
  const certificate = der(0x30, tbs, ECDSA_SHA256, signature);
  const base64 = certificate.toString('base64').replace(/.{64}/g, '$&\n');
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
    pin: createHash('sha256').update(certificate).digest('hex'),
  };
}

const pem = (kind: string, octets: Uint8Array): string =>
  `-----BEGIN ${kind}-----\n${Buffer.from(octets).toString('base64').replace(/.{64}/g, '$&\n')}\n-----END ${kind}-----\n`;
const utc = (time: Date): Buffer => {
  const digits = time.toISOString().replace(/[-:T]|\.\d+/g, '');
  return der(0x17, Buffer.from(digits.slice(2)));
};
const nameOf = (common: string): Buffer => der(0x30, der(0x31, der(0x30, oid('550403'), der(0x0c, Buffer.from(common)))));
const signed = (kind: string, tbs: Buffer, key: KeyObject): string =>
  pem(kind, der(0x30, tbs, ECDSA_SHA256, der(0x03, Buffer.from([0]), sign('sha256', tbs, key))));

/** Authority issues client certificates and revocation lists (RFC 5280, sections 4.1 and 5.1). */
export class Authority {
  readonly #key = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  readonly #name: Buffer;
  readonly cert: string;
  #serial = 0x10;

  constructor(name = 'Pushpoint test authority') {
    this.#name = nameOf(name);
    // basicConstraints CA, keyUsage keyCertSign and cRLSign.
    const ca = [der(0x30, oid('551d13'), der(0x01, Buffer.from([0xff])), der(0x04, der(0x30, der(0x01, Buffer.from([0xff])))))];
    ca.push(der(0x30, oid('551d0f'), der(0x01, Buffer.from([0xff])), der(0x04, der(0x03, Buffer.from([0x01, 0x06])))));
    this.cert = this.#make(1, this.#name, this.#key.publicKey, new Date('2049-01-01'), ca);
  }

  #make(serial: number, subject: Buffer, publicKey: KeyObject, until: Date, extensions: Buffer[]): string {
    const version = der(0xa0, der(0x02, Buffer.from([2])));
    const validity = der(0x30, utc(new Date('2020-01-01')), utc(until));
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    const serialNumber = der(0x02, Buffer.from([serial]));
    const tbs = der(
      0x30,
      version,
      serialNumber,
      ECDSA_SHA256,
      this.#name,
      validity,
      subject,
      spki,
      der(0xa3, der(0x30, ...extensions)),
    );
    return signed('CERTIFICATE', tbs, this.#key.privateKey);
  }

  /** issue makes a certificate for client authentication. */
  issue(common: string, until = new Date('2049-01-01')): { cert: string; key: string; serial: number } {
    return this.issueFor('clientAuth', common, until);
  }

  /** issueFor makes one for another purpose (RFC 5280, section 4.2.1.12). */
  issueFor(
    purpose: 'clientAuth' | 'serverAuth',
    common: string,
    until = new Date('2049-01-01'),
  ): { cert: string; key: string; serial: number } {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const serial = this.#serial++;
    const usage = der(
      0x30,
      oid('551d25'),
      der(0x04, der(0x30, oid(purpose === 'clientAuth' ? '2b06010505070302' : '2b06010505070301'))),
    );
    const cert = this.#make(serial, nameOf(common), publicKey, until, [usage]);
    return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, serial };
  }

  /** revoke makes a list of serial numbers that holds until a time. */
  revoke(serials: readonly number[], until: Date): string {
    const from = utc(new Date('2020-01-01'));
    const entries = serials.map((serial) => der(0x30, der(0x02, Buffer.from([serial])), from));
    const tbs = der(
      0x30,
      der(0x02, Buffer.from([1])),
      ECDSA_SHA256,
      this.#name,
      from,
      utc(until),
      ...(entries.length > 0 ? [der(0x30, ...entries)] : []),
    );
    return signed('X509 CRL', tbs, this.#key.privateKey);
  }
}
