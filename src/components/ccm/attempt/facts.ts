/** SystemType is what the filters of push tell apart. */
export type SystemType = 'workstation' | 'server' | 'dc' | 'unknown';

/** OsFacts is what was learnt of the operating system; undefined is unknown, never a guess. */
export interface OsFacts {
  /** False only when the machine was seen to be something else. */
  windows: boolean;
  name: string | undefined;
  major: number | undefined;
  minor: number | undefined;
  build: number | undefined;
  type: SystemType;
  architecture: 'x64' | 'x86' | 'arm64' | undefined;
}

/** ClientFacts is what was learnt of an agent that is already there. */
export interface ClientFacts {
  installed: boolean;
  running: boolean;
  version: string | undefined;
  site: string | undefined;
  /** The CCR whose push its note of installation names, 'none' if that is none of ours; undefined when there is no such note. */
  ccrId?: number | 'none' | undefined;
}

/** SetupFacts is what was learnt of a bootstrap that is already there. */
export interface SetupFacts {
  /** State of the bootstrap's service, undefined when there is none. */
  service: string | undefined;
  /** Files of its folder, lower case, with their sizes. */
  files: Map<string, bigint>;
  /** Its folder, or a file in it, is encrypted (EFS): what is laid there can be read by the push account only, and not by SYSTEM. */
  encrypted?: boolean;
  /** The CCR that its mobileclient.tcf was written for, if it is one of ours. */
  ccrId: number | undefined;
}

/** Facts is what an inspection learnt of a machine. */
export interface Facts {
  os: OsFacts;
  freeBytes: bigint | undefined;
  client: ClientFacts;
  setup: SetupFacts;
  /** The machine's own folder behind ADMIN$, such as C:\Windows. */
  windowsPath: string | undefined;
}

/** osVersion is the version as it is shown: 10.0.26100, or as much of it as is known. */
export function osVersion(os: OsFacts): string | undefined {
  if (os.major === undefined) return undefined;
  return [os.major, os.minor, os.build].filter((part) => part !== undefined).join('.');
}
