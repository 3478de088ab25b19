import { ACCESS, DISPOSITION, SHARE_ACCESS } from '#wire/smb';
import { makeFolders, removeWhole, writeWhole, type OpenFile } from '#lab/disk';
import type { LabHost } from './host.ts';
import { CLIENT_KEY } from './registry-values.ts';
import type { Switches } from './switches.ts';

const text = (words: string) => new TextEncoder().encode(words);
/** Room for a lock file or a log line, not for a program. */
const NEARLY_FULL = 16_384;
const SETUP = ['Windows', 'ccmsetup', 'ccmsetup.exe'];
const AGENT = ['Windows', 'CCM', 'CcmExec.exe'];
const INSTALLED = ['Windows', 'CCM', 'installed.json'];
/** What an earlier program left: no bootstrap, so it only stands there. */
const OLD_PROGRAM = text('MZ an earlier program, which only stands there');

/**
 * Faults makes the disk, the services and the registry of a host be as its switches say. What takes a disk is done when somebody first
 * comes near it, so that a thousand hosts that nobody asks cost nothing.
 */
export class Faults {
  readonly #host: LabHost;
  #done: Partial<Switches> = {};
  #freeBefore: number | undefined;
  #image: OpenFile | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(host: LabHost) {
    this.#host = host;
  }

  /** follow brings the machine into line with the switches, one change after the other. */
  follow(): Promise<void> {
    const mine = this.#turn.then(() => this.#apply());
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #apply(): Promise<void> {
    const now = this.#host.switches;
    const changed = (key: keyof Switches) => this.#done[key] !== now[key];
    if (changed('diskFull')) this.#fill(now.diskFull);
    if (changed('foreignLock')) await this.#lock(this.#done.foreignLock, now.foreignLock);
    if (changed('encryptedSetup') && (now.encryptedSetup || this.#done.encryptedSetup)) await this.#encrypt(now.encryptedSetup);
    if (changed('remoteRegistry')) this.#host.machine.setRemoteRegistry();
    if (changed('oldSetupRunning')) await this.#oldSetup(now.oldSetupRunning);
    if (changed('clientInstalled')) await this.#client(now.clientInstalled);
    this.#done = { ...now };
  }

  #fill(isFull: boolean): void {
    const { disk } = this.#host.machine;
    if (isFull) {
      this.#freeBefore = disk.freeBytes;
      disk.freeBytes = Math.min(disk.freeBytes, NEARLY_FULL);
    } else if (this.#freeBefore !== undefined) disk.freeBytes = this.#freeBefore;
  }

  async #lock(before: string | undefined, now: string | undefined): Promise<void> {
    const { disk } = this.#host.machine;
    if (before) await removeWhole(disk, ['Windows', `SMSClientInstall.${before}`]);
    if (now) await writeWhole(disk, ['Windows', `SMSClientInstall.${now}`], text(`[SMSClientInstall]\r\nSite=${now}\r\n`));
  }

  async #encrypt(isEncrypted: boolean): Promise<void> {
    const { disk } = this.#host.machine;
    const folder = SETUP.slice(0, -1);
    await makeFolders(disk, folder);
    const { real } = await disk.place(folder);
    if (isEncrypted) return disk.encrypt(real);
    // As cipher /d /s does: the folder and all in it.
    for (const path of disk.attributes.keys()) if (path === real || path.startsWith(`${real}/`)) disk.attributes.delete(path);
  }

  async #oldSetup(how: Switches['oldSetupRunning']): Promise<void> {
    const { machine } = this.#host;
    await this.#image?.close();
    this.#image = undefined;
    machine.dropStandIn('ccmsetup');
    if (how === false) return void (this.#done.oldSetupRunning && (await removeWhole(machine.disk, SETUP)));
    await writeWhole(machine.disk, SETUP, OLD_PROGRAM);
    this.#image = await machine.disk.open(SETUP, {
      access: ACCESS.EXECUTE,
      share: SHARE_ACCESS.READ | SHARE_ACCESS.DELETE,
      disposition: DISPOSITION.OPEN,
      image: true,
    });
    machine.standIn({
      name: 'ccmsetup',
      displayName: 'ccmsetup',
      binaryPath: 'C:\\Windows\\ccmsetup\\ccmsetup.exe',
      stoppable: how === 'stoppable',
      stopped: () => void this.#image?.close(),
    });
  }

  async #client(wanted: Switches['clientInstalled']): Promise<void> {
    const { machine } = this.#host;
    const { disk } = machine;
    if (this.#done.clientInstalled) {
      machine.dropStandIn('CcmExec');
      await removeWhole(disk, ['Windows', 'CCM']);
      machine.removeRegistry(CLIENT_KEY);
    }
    if (!wanted) return;
    await makeFolders(disk, AGENT.slice(0, -1));
    await writeWhole(disk, AGENT, OLD_PROGRAM);
    const note = { version: wanted.version, sha256: '', site: wanted.site, installedAt: machine.clock.now().toISOString() };
    await writeWhole(disk, INSTALLED, text(`${JSON.stringify(note)}\n`));
    machine.setRegistry(CLIENT_KEY, { ProductVersion: wanted.version, AssignedSiteCode: wanted.site });
    const binaryPath = 'C:\\Windows\\CCM\\CcmExec.exe';
    machine.standIn({ name: 'CcmExec', displayName: 'SMS Agent Host', binaryPath, stoppable: true });
  }
}
