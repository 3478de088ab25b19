/** Note is something about one machine or address that a person should know. */
export interface Note {
  address: string;
  name?: string | undefined;
  what: string;
}

/** NetworkReport is what a run of network discovery has found so far, or found. Counts are of addresses where nothing else is said. */
export interface NetworkReport {
  /** Addresses asked, and those left out by a delta run because a machine is known there. */
  asked: number;
  skipped: number;
  /** Addresses where something answered, if only by refusing. */
  answered: number;
  /** Addresses by what their ports did: `open`, `refused`, `silent`, `unroutable`. */
  ports: Record<string, Record<string, number>>;
  /** Machines that told a name, by how: `smb`, `dns`. */
  named: Record<string, number>;
  /** Addresses that answered, and whose machine has no name that is known. */
  unnamed: number;
  /** What became of the machines handed in. */
  machines: { added: number; changed: number; unchanged: number; rejected: number; trusted: number };
  /** Connections begun, and how many in the busiest second. */
  connections: number;
  busiestSecond: number;
  /** How often the system had no room for another connection, so that one had to wait. */
  waited: number;
  notes: Note[];
  moreNotes: number;
}

/** emptyReport is the report of a run that has done nothing yet. */
export function emptyReport(): NetworkReport {
  return {
    asked: 0,
    skipped: 0,
    answered: 0,
    ports: {},
    named: {},
    unnamed: 0,
    machines: { added: 0, changed: 0, unchanged: 0, rejected: 0, trusted: 0 },
    connections: 0,
    busiestSecond: 0,
    waited: 0,
    notes: [],
    moreNotes: 0,
  };
}
