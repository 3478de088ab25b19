/**
 * The machines of bench/push.ts, in a process of their own so that their work is not counted: it is told what to be in one message, answers
 * with how to reach them, and ends when its parent hangs up.
 */
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { startFleet } from '#lab/fleet';

/** LabOrder is what the parent asks for. */
export interface LabOrder {
  hosts: number;
  folder: string;
  /** slowMs is added to each request, so that many pushes are under way at once. */
  slowMs: number;
}

/** LabFound is the answer. */
export interface LabFound {
  csv: string;
  username: string;
  password: string;
  hosts: { name: string; address: string; port: number }[];
}

process.once('message', (order: LabOrder) => {
  const { hosts: windows, folder, slowMs } = order;
  void startFleet({ windows, folder, clock: systemClock, random: systemRandom, password: 'Bench-Only-1!' }).then(
    async (fleet) => {
      for (const { host } of fleet.hosts) await host.set({ slowMs });
      const hosts = fleet.hosts.map(({ host }) => ({ name: host.name, address: host.address, port: host.port }));
      const found: LabFound = { csv: fleet.csv(), ...fleet.account, hosts };
      process.send!(found);
      // The parent ends it by hanging up; half a push is none of its concern then.
      process.once('disconnect', () => void fleet.stop().finally(() => process.exit(0)));
    },
  );
});
