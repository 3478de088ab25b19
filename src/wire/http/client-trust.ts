import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { ListenerTls } from './listener.ts';
import { namesOf, pemBlocks, readRevocationList, type RevocationList } from './revocation.ts';

/** Shown is the certificate of one connection. */
interface Shown {
  issuer: string;
  serial: string;
  until: Date;
}

/** What OpenSSL says of a chain, in words; what is not here is shown as it is. */
const REASONS: Record<string, string> = {
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_NOT_YET_VALID: 'it is not valid yet',
  CERT_REVOKED: 'it was revoked',
  UNABLE_TO_GET_ISSUER_CERT: 'it is not from an authority that this site trusts',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'it is not from an authority that this site trusts',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'it is not from an authority that this site trusts',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is signed by itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'it is not from an authority that this site trusts',
  UNABLE_TO_GET_CRL: 'the site has no revocation list of its authority',
  INVALID_PURPOSE: 'it is not for client authentication',
};

/** revocationLists reads all lists of a PEM text. */
export function revocationLists(crl: string): RevocationList[] {
  return pemBlocks(crl, 'X509 CRL').map(({ der }) => readRevocationList(der));
}

/**
 * ClientTrust judges the client certificate of each request. The chain and its signatures were checked by TLS when the connection was made;
 * what changes with time is judged at each request: whether the certificate still holds, whether a list that was replaced since names it,
 * and whether the list itself still holds. So a revoked client that keeps a connection, or resumes a session, is out at once.
 */
export class ClientTrust {
  readonly #tls: ListenerTls;
  readonly #clock: Clock;
  readonly #shown = new WeakMap<object, Shown>();
  #lists: { of: string; lists: RevocationList[] } | undefined;

  constructor(tls: ListenerTls, clock: Clock) {
    this.#tls = tls;
    this.#clock = clock;
  }

  /** judge raises PP_MP_CERTIFICATE or PP_MP_CRL_EXPIRED unless the peer of a request showed a certificate that is good now. */
  judge({ socket }: Pick<IncomingMessage, 'socket'>): void {
    const { authorized, authorizationError } = socket as TLSSocket;
    const now = this.#clock.now();
    const lists = this.#current();
    for (const { until } of lists) if (until && until < now) throw raise('PP_MP_CRL_EXPIRED', { until: until.toISOString() });
    const shown = this.#of(socket as TLSSocket);
    if (!authorized) {
      const code = String((authorizationError as unknown as NodeJS.ErrnoException | undefined)?.code ?? authorizationError);
      // The connection was made while the list had expired; it has been replaced since.
      if (code === 'CRL_HAS_EXPIRED')
        throw raise('PP_MP_CERTIFICATE', { why: 'it was shown while the list had expired; connect again' });
      throw raise('PP_MP_CERTIFICATE', { why: REASONS[code] ?? code });
    }
    if (shown.until < now) throw raise('PP_MP_CERTIFICATE', { why: REASONS['CERT_HAS_EXPIRED']! });
    if (lists.some(({ issuer, serials }) => issuer === shown.issuer && serials.has(shown.serial)))
      throw raise('PP_MP_CERTIFICATE', { why: REASONS['CERT_REVOKED']! });
  }

  #current(): RevocationList[] {
    const of = this.#tls.clients?.crl ?? '';
    if (this.#lists?.of !== of) this.#lists = { of, lists: revocationLists(of) };
    return this.#lists.lists;
  }

  #of(socket: TLSSocket): Shown {
    const known = this.#shown.get(socket);
    if (known) return known;
    const certificate = socket.getPeerX509Certificate();
    if (!certificate) throw raise('PP_MP_CERTIFICATE', { why: 'none was shown' });
    const shown = { ...namesOf(certificate.raw), until: certificate.validToDate };
    this.#shown.set(socket, shown);
    return shown;
  }
}
