import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as ccm from '#components/ccm';
import * as messages from '#messages';
import * as boundary from '#records/boundary';
import * as resource from '#records/resource';
import * as auth from '#wire/auth';
import * as http from '#wire/http';
import * as rpc from '#wire/rpc';
import * as smb from '#wire/smb';
import { allDecoders } from '#test/decoders';

/** A decoder that nobody fuzzes is the one that breaks: what the rooms can read is compared with what the fuzzer has. */

/** Decodable is a structure of a room, or one direction of an operation. */
interface Decodable {
  decode(octets: Uint8Array, ...more: unknown[]): unknown;
}

const isDecodable = (value: unknown): value is Decodable =>
  typeof value === 'object' && value !== null && typeof (value as Partial<Decodable>).decode === 'function';

/** decodables are all structures that a door shows, by their names; operations have one for each direction. */
function decodables(): Map<string, Decodable> {
  const found = new Map<string, Decodable>();
  const { svcctl, winreg, srvsvc, lsarpc, pdu } = rpc;
  for (const [room, exported] of Object.entries({ smb, auth, svcctl, winreg, srvsvc, lsarpc, pdu }))
    for (const [name, value] of Object.entries(exported as Record<string, unknown>)) {
      if (isDecodable(value)) found.set(`${room}.${name}`, value);
      for (const direction of ['request', 'response'] as const) {
        const part = (value as Partial<Record<typeof direction, unknown>> | undefined)?.[direction];
        if (isDecodable(part)) found.set(`${room}.${name} ${direction}`, part);
      }
    }
  return found;
}

/** Structures that are read as part of others, never by themselves, and what is only ever written. */
const PARTS: Record<string, string> = {
  'smb.FileId': 'a field of many messages',
  'smb.SetInfoResponse': 'empty, in the frames of the records',
};

test('every structure that a room shows is decoded by the samples of the fuzzer', async () => {
  const all = decodables();
  assert.ok(all.size > 60, `${all.size} structures`);
  const decoders = await allDecoders();
  const seen = new Set<string>();
  for (const [name, one] of all) {
    const real = one.decode.bind(one);
    one.decode = (...given) => {
      seen.add(name);
      return real(...given);
    };
  }
  for (const one of decoders) for (const sample of one.samples) one.decode(sample);
  const missed = [...all.keys()].filter((name) => !seen.has(name) && !(name in PARTS));
  assert.deepEqual(missed, [], 'add a decoder with samples to test/support/decoders.ts');
});

test('every function of a room that reads foreign octets or text is among the decoders', () => {
  const listed = readFileSync(new URL('../support/decoders.ts', import.meta.url), 'utf8');
  const known: Record<string, string> = {
    unpackContexts: 'with each greeting',
    decodeBody: 'with each frame',
    readIp: 'with each boundary',
    unpackLink: 'readLink behind gunzip',
  };
  for (const [room, exported] of Object.entries({ ccm, messages, boundary, resource, auth, http, smb })) {
    for (const [name, value] of Object.entries(exported as Record<string, unknown>)) {
      if (typeof value !== 'function' || !/^(read|decode|parse|split|unpack)[A-Z]/.test(name)) continue;
      if (!(name in known)) assert.match(listed, new RegExp(`\\b${name}\\b`), `${room}: ${name} is not fuzzed`);
    }
  }
});
