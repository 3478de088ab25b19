import type { Disk } from '#lab/disk';

/** Identity is who logged on, as the rest of the machine sees it. */
export interface Identity {
  username: string;
  domain: string;
  /** administrator: the token holds the Administrators group, unfiltered. */
  administrator: boolean;
}

/** PipeEnd is the server's end of a named pipe in message mode. */
export interface PipeEnd {
  /** take gets one message of the client and gives the messages that answer it, if it is complete. */
  take(message: Uint8Array): Promise<Uint8Array[]>;
  close(): void;
}

/** Share is what a TREE_CONNECT leads to. */
export type Share =
  | { kind: 'pipe'; encrypt?: boolean }
  | { kind: 'disk'; disk: Disk; root: readonly string[]; encrypt?: boolean };

/** Point is a moment of a push at which a lab host can be told to vanish; each is named after what has just happened. */
export type Point = 'connect' | 'negotiate' | 'logon' | 'admin-share' | 'copy' | 'start';

/** LogonStep is what a logon answers to one token of the client. */
export interface LogonStep {
  status: number;
  token?: Uint8Array;
  /** identity and sessionKey stand when the logon is through. */
  identity?: Identity;
  sessionKey?: Uint8Array;
}

/** LogonAcceptor is one logon under way; tokens are SPNEGO. */
export interface LogonAcceptor {
  accept(token: Uint8Array): Promise<LogonStep>;
}

/** SmbBackend is the machine behind the SMB server. Refusals are NTSTATUS codes. */
export interface SmbBackend {
  /** hint is the SPNEGO token of the NEGOTIATE response. */
  hint(): Uint8Array;
  logon(): LogonAcceptor;
  share(name: string, identity: Identity): Promise<Share | number>;
  /** pipe opens a pipe of IPC$; names are without `\PIPE\`. */
  pipe(name: string, identity: Identity): Promise<PipeEnd | number>;
  /** pipeExists answers FSCTL_PIPE_WAIT. */
  pipeExists(name: string): boolean;
  /** delay lets a slow machine be slow; it is awaited before each request is worked. */
  delay(signal: AbortSignal): Promise<void>;
  /** reached is told how far a client has come. */
  reached(point: Point): void;
}
