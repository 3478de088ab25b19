import type { ServerLog } from '#base/log';

/**
 * Journal writes ccm.log: the lines that administrators of SMS and their tools know (facts B3), one request at a time. The thread
 * number tells the attempts apart, as viewers of that format expect.
 */
export class Journal {
  readonly #log: ServerLog;
  readonly #thread: number;
  readonly #request: string;
  readonly #machine: string;

  constructor(log: ServerLog, thread: number, request: string, machine: string) {
    this.#log = log;
    this.#thread = thread;
    this.#request = request;
    this.#machine = machine;
  }

  #line(text: string): void {
    this.#log.line(text, this.#thread);
  }

  /** begin opens the request's part of the log. */
  begin(): void {
    this.#line(`======>Begin Processing request: "${this.#request}", machine name: "${this.#machine}"`);
  }

  /** end closes it; it is written whatever happened. */
  end(): void {
    this.#line(`<======End request: "${this.#request}", machine name: "${this.#machine}".`);
  }

  choosing(remembered: boolean): void {
    this.#line(
      remembered
        ? "---> Trying the 'best-shot' account which worked for previous CCRs"
        : '---> Trying the accounts for this machine in turn',
    );
  }

  connecting(account: string): void {
    this.#line(`---> Attempting to connect to administrative share '\\\\${this.#machine}\\admin$' using account '${account}'`);
  }

  connectFailed(account: string, win32: number): void {
    this.#line(`---> Failed to connect to \\\\${this.#machine}\\admin$ using account ${account} (${win32})`);
  }

  connected(account: string, mechanism: string): void {
    this.#line(`---> Connected to administrative share on machine ${this.#machine} using account '${account}'`);
    this.#line(`---> Attempting to make IPC connection to share <\\\\${this.#machine}\\IPC$> with ${mechanism} authentication`);
  }

  notAdministrator(account: string): void {
    this.#line(`---> ERROR: The account '${account}' does not have administrative rights on machine "${this.#machine}".`);
  }

  searchingLocks(): void {
    this.#line(`---> Searching for SMSClientInstall.* under '\\\\${this.#machine}\\admin$\\'`);
  }

  deletingLock(name: string): void {
    this.#line(`---> Deleting SMS Client Install Lock File '\\\\${this.#machine}\\admin$\\${name}'`);
  }

  invalidVersion(version: string): void {
    this.#line(`---> Invalid NT version "${version}" on machine "${this.#machine}"`);
  }

  failed(code: number | undefined, text: string): void {
    this.#line(
      `---> ERROR: Unable to access target machine for request: "${this.#request}", machine name: "${this.#machine}", error code: ${code ?? 0}`,
    );
    this.#line(`---> ${text}`);
  }

  /** said writes a line of our own wording. */
  said(text: string): void {
    this.#line(`---> ${text}`);
  }

  /** stored tells into which queue the request went. */
  stored(queue: 'Processing' | 'Retry'): void {
    this.#line(`Stored request "${this.#request}", machine name "${this.#machine}", in queue "${queue}".`);
  }
}
