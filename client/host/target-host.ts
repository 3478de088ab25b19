import type { Clock } from '#base/clock';
import type { OperatingSystem } from '#messages';
import type { Random } from '#base/random';

/** ServiceWish is what a service is created with; the account is always LocalSystem. */
export interface ServiceWish {
  name: string;
  displayName: string;
  /** Command line: the path of the file, quoted if it has blanks, then arguments. */
  binaryPath: string;
  startType: 'auto' | 'demand' | 'disabled';
}

export type ServiceState = 'stopped' | 'start-pending' | 'stop-pending' | 'running';

/** ClientCertificate is what a machine shows to points in native mode, in PEM: the certificate with those that lead to its authority, and its key. */
export interface ClientCertificate {
  cert: string;
  key: string;
}

/** FetchInit is the part of fetch's options that the client uses, and the certificate to expect. */
export interface FetchInit {
  method?: string;
  headers?: Record<string, string>;
  body?: Uint8Array;
  signal?: AbortSignal;
  /** Hex SHA-256 of certificates (DER), of which the server shows one. To a server that shows another nothing is sent, and no chain is asked for. */
  pins?: readonly string[];
  /** Shown to a server that asks for one. */
  certificate?: ClientCertificate;
}

/**
 * TargetHost is everything the client needs of the machine it runs on, so that one code runs on a lab host inside a process and on real
 * systems. One TargetHost is one run of one program: `modulePath` and `signal` belong to the run, the rest to the machine. Paths are
 * Windows paths, names compared without case. A file operation that fails throws an Error with a Node code (ENOSPC, EACCES …).
 */
export interface TargetHost {
  readonly name: string;
  readonly domain: string;
  readonly fqdn: string;
  readonly os: OperatingSystem;
  readonly architecture?: string;
  /** Survives a reinstallation of the system: of the hardware, not of the disk. */
  readonly hardwareId: string;
  addresses(): string[];

  /** modulePath is the file this run was started from. */
  readonly modulePath: string;
  /** signal aborts when the service is told to stop; the program then returns soon. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly random: Random;
  /** print writes one line to whoever started the program by hand; a service has nobody there. */
  print(line: string): void;

  /** readFile gives undefined when the file is not there. */
  readFile(path: string): Promise<Uint8Array | undefined>;
  /** writeFile replaces the file as a whole and makes missing folders; `secret` lets only LocalSystem and administrators read it. */
  writeFile(path: string, bytes: Uint8Array, options?: { secret?: boolean }): Promise<void>;
  /** appendFile adds to the end, making the file and its folders. */
  appendFile(path: string, bytes: Uint8Array): Promise<void>;
  mkdir(path: string): Promise<void>;
  /** remove takes away a file, or a folder with all in it; false when there was nothing. */
  remove(path: string): Promise<boolean>;
  /** list gives the names in a folder; empty when it is not there. */
  list(path: string): Promise<string[]>;
  /** freeBytes is the free space of the system drive. */
  freeBytes(): Promise<number>;
  /** mutex takes a machine-wide name (Windows: Global\\…) and gives its release, or undefined when a living run has it. It ends with the run. */
  mutex(name: string): (() => void) | undefined;

  readonly services: {
    /** create raises an Error with code 1073 when it is there already. */
    create(wish: ServiceWish): Promise<void>;
    start(name: string): Promise<void>;
    stop(name: string): Promise<void>;
    /** remove marks for deletion; a running service goes when it ends. */
    remove(name: string): Promise<void>;
    status(name: string): Promise<ServiceState | undefined>;
  };
  /** registry writes string values under HKLM, for tools that look there; a host without one leaves it out. */
  readonly registry?: {
    set(key: string, values: Record<string, string>): Promise<void>;
    remove(key: string): Promise<void>;
    /** has tells whether a key is there. */
    has?(key: string): Promise<boolean>;
  };
  /** installerSettings is what a client that was installed by hand was given, and its version; a host without such clients leaves it out. */
  installerSettings?(): { properties: string; version: string } | undefined;
  /** windowsInstaller is the version of Windows Installer, 3.1 = 301; a host without one leaves it out. */
  windowsInstaller?(): Promise<number>;
  /** restartPending tells whether the system waits for a restart. */
  restartPending?(): Promise<boolean>;
  /** removeAfter takes away a file or folder when this run has ended, because nobody can delete the program that he runs. */
  removeAfter(path: string): void;
  /** run starts a command and gives its exit code; a host that cannot leaves it out. */
  run?(command: string, options: { folder: string; signal: AbortSignal }): Promise<number>;
  fetch(url: string, init?: FetchInit): Promise<Response>;
  /** unproven tells why this machine has no certificate to show; a host that was not told to have one leaves it out. */
  unproven?(): string | undefined;
  /** pathOf gives a path as people on this machine know it; a host whose paths are those of Windows leaves it out. */
  pathOf?(path: string): string;
  /** srv asks DNS for service records, RFC 2782; a host without DNS leaves it out. */
  srv?(name: string): Promise<{ name: string; port: number }[]>;
}
