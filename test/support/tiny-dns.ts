import { isIP } from 'node:net';

/**
 * Zone is what a name server knows: by lower-case name, its addresses, the names that an address stands for (`….in-addr.arpa`), or its services as
 * `priority weight port name`.
 */
export type Zone = Record<string, string[]>;

const TYPE = { A: 1, PTR: 12, AAAA: 28, SRV: 33 } as const;

/** reverseName is the name under which the names of an address of IPv4 stand, RFC 1035 section 3.5. */
export function reverseName(address: string): string {
  return `${address.split('.').reverse().join('.')}.in-addr.arpa`;
}

function nameOctets(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)]));
  return Buffer.concat([...labels, Buffer.of(0)]);
}

function dataOf(type: number, value: string): Buffer | undefined {
  const family = isIP(value);
  if (type === TYPE.A && family === 4) return Buffer.from(value.split('.').map(Number));
  if (type === TYPE.AAAA && family === 6) {
    const [head, tail] = value.split('::').map((half) => (half === '' ? [] : half.split(':'))) as [
      string[],
      string[] | undefined,
    ];
    const groups = tail ? [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail] : head;
    return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
  }
  const service = /^(\d+) (\d+) (\d+) (\S+)$/.exec(value);
  if (service) {
    const numbers = service.slice(1, 4).flatMap((number) => [Number(number) >> 8, Number(number) & 255]);
    return type === TYPE.SRV ? Buffer.concat([Buffer.from(numbers), nameOctets(service[4]!)]) : undefined;
  }
  return type === TYPE.PTR && family === 0 ? nameOctets(value) : undefined;
}

/** dnsAnswer answers one question of RFC 1035 from a zone; undefined when the question is none. */
export function dnsAnswer(question: Buffer, zone: Zone): Buffer | undefined {
  if (question.length < 17 || question.readUInt16BE(4) !== 1) return undefined;
  const labels: string[] = [];
  let at = 12;
  while (at < question.length && question[at]! > 0) {
    labels.push(question.toString('latin1', at + 1, at + 1 + question[at]!));
    at += 1 + question[at]!;
  }
  const end = at + 5;
  if (end > question.length) return undefined;
  const type = question.readUInt16BE(at + 1);
  const known = zone[labels.join('.').toLowerCase()];
  const answers = (known ?? []).flatMap((value) => {
    const data = dataOf(type, value);
    if (!data) return [];
    const head = Buffer.alloc(12);
    head.writeUInt16BE(0xc00c, 0); // the name of the question
    head.writeUInt16BE(type, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt32BE(60, 6);
    head.writeUInt16BE(data.length, 10);
    return [Buffer.concat([head, data])];
  });
  const head = Buffer.alloc(12);
  head.writeUInt16BE(question.readUInt16BE(0), 0);
  head.writeUInt16BE(0x8580 | (known ? 0 : 3), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(answers.length, 6);
  return Buffer.concat([head, question.subarray(12, end), ...answers]);
}
