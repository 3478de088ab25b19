import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createSecureContext } from 'node:tls';
import { raise } from '#base/errors';
import type { Log } from '#base/log';
import type { Listen } from './data-folder.ts';

const reasons: Record<string, string> = {
  EADDRINUSE: 'another program listens there',
  EADDRNOTAVAIL: 'this machine has no such address',
  EACCES: 'ports below 1024 need the right to bind them',
};

/** listen binds a server and gives the URL of what it bound; what goes wrong with it later, as when there are no file handles left, is logged. */
export function listen(server: Server | SecureServer, at: Listen, scheme: 'http' | 'https', log: Log): Promise<string> {
  return new Promise((resolve, reject) => {
    const refused = (cause: NodeJS.ErrnoException) => {
      reject(
        raise('PP_SITE_LISTEN', { address: `${at.host}:${at.port}`, why: reasons[cause.code ?? ''] ?? cause.message }, { cause }),
      );
    };
    server.once('error', refused);
    server.listen(at.port, at.host, () => {
      server.off('error', refused);
      server.on('error', (error) =>
        log.error('a listener had an error and goes on', { address: `${at.host}:${at.port}`, error }),
      );
      const { port } = server.address() as AddressInfo;
      const host =
        at.host === '0.0.0.0' ? '127.0.0.1' : at.host === '::' ? '[::1]' : at.host.includes(':') ? `[${at.host}]` : at.host;
      resolve(`${scheme}://${host}:${port}`);
    });
  });
}

/** readCertificate reads and checks a certificate with its key, so that a wrong file is told at start and not at the first client. */
export function readCertificate(
  certificateFile: string | undefined,
  keyFile: string | undefined,
  now: Date,
): { cert: Buffer; key: Buffer } {
  if (!certificateFile || !keyFile) throw raise('PP_CLI_USAGE', { why: '--listen-https needs --cert FILE and --key FILE' });
  const cert = readFile(certificateFile);
  const key = readFile(keyFile);
  const known = tryTo(certificateFile, 'it is not a certificate in PEM form', () => new X509Certificate(cert));
  if (!isPem(cert)) {
    const why = 'it is in DER form, and PEM is wanted: openssl x509 -inform der -in FILE -out FILE.pem';
    throw raise('PP_CLI_FILE', { file: certificateFile, why });
  }
  const secret = tryTo(keyFile, 'it is not a private key in PEM form without a passphrase', () => createPrivateKey(key));
  const refuse = (why: string) => raise('PP_CLI_FILE', { file: certificateFile, why });
  if (!known.checkPrivateKey(secret)) throw refuse(`it does not belong to the key in ${keyFile}`);
  if (now > known.validToDate) throw refuse(`it has expired on ${known.validToDate.toISOString()}; have it renewed`);
  if (now < known.validFromDate) throw refuse(`it is valid from ${known.validFromDate.toISOString()} only; check the clock`);
  // What is left: chains and curves that TLS itself does not take.
  tryTo(certificateFile, 'TLS does not take it with its key', () => createSecureContext({ cert, key }));
  return { cert, key };
}

const unread: Record<string, string> = {
  ENOENT: 'it is not there',
  EACCES: 'this user has no right to it',
  EISDIR: 'it is a folder',
};

/** readFile reads a file that the command line named, or tells why it cannot be read. */
export function readFile(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw raise('PP_CLI_FILE', { file, why: unread[code ?? ''] ?? message }, { cause });
  }
}

/** DER is the other form in which authorities hand out certificates; X509Certificate reads it and TLS does not. */
const isPem = (bytes: Buffer): boolean => bytes.includes('-----BEGIN ');

function tryTo<T>(file: string, why: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw raise('PP_CLI_FILE', { file, why }, { cause });
  }
}

/** hangUp closes a listener and every connection to it; the framework closes only listeners that it opened itself. */
export function hangUp(server: Server | SecureServer): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
