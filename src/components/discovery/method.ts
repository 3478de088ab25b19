import type { NetworkReport, Run } from '#records/method';

/** Under is a run under way, as its method sees it. */
export interface Under {
  readonly run: Run;
  /** The site that discovers. */
  readonly site: string;
  /** Aborts when the run is cancelled, or the process stops. */
  readonly signal: AbortSignal;
}

/** Method is one way to discover machines. It hands them in as it finds them, so that a run that ends early has not been for nothing. */
export interface Method {
  /** begin prepares a run and gives what does it; the caller asks for the state of it while it works. */
  begin(under: Under): Promise<Working>;
}

/** Working is a run while it is done. */
export interface Working {
  /** How far it is; all targets before this one are done. */
  readonly done: number;
  readonly report: NetworkReport;
  /** work does it; it rejects with the signal's reason when that aborts, after everything found was handed in. */
  work(): Promise<void>;
}
