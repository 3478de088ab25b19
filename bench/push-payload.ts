import { MARK } from '#client/bundle';

const encoder = new TextEncoder();

/** padded makes a program of the lab as long as it is to be, with a comment that does not compress; with `atLeast` a longer one stays as it is. */
export function padded(program: Uint8Array, length: number, atLeast = false): Uint8Array {
  if (atLeast && program.length + 4 > length) return program;
  if (program.length + 4 > length) throw new RangeError(`the program has ${program.length} octets, more than ${length}`);
  const whole = new Uint8Array(length).fill(0x78);
  whole.set(program);
  whole.set(encoder.encode('\n//'), program.length);
  for (let at = program.length + 3, x = 1; at < length; at++) {
    x = (Math.imul(x, 1_103_515_245) + 12_345) >>> 0;
    whole[at] = 0x61 + ((x >>> 16) % 26);
  }
  return whole;
}

/** inertProgram runs until it is told to stop, and does nothing. */
export function inertProgram(length: number): Uint8Array {
  const text = `${MARK}
export const main = ({ signal }) => new Promise((done) => signal.addEventListener('abort', () => done(0), { once: true }));`;
  return padded(encoder.encode(text), length);
}

/** briefProgram installs a service that runs, and ends: the least that a bootstrap can do so that its push can be proven. */
export function briefProgram(length: number): Uint8Array {
  const text = `${MARK}
export const main = async (host, args) => {
  if (args.includes('--agent')) return new Promise((done) => host.signal.addEventListener('abort', () => done(0), { once: true }));
  await host.services.create({ name: 'CcmExec', displayName: 'Agent', binaryPath: host.modulePath + ' --agent', startType: 'auto' });
  await host.services.start('CcmExec');
  return 0;
};`;
  return padded(encoder.encode(text), length);
}
