import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allDecoders, sealedArchive, type Decoder } from '#test/decoders';
import { fuzzCount, fuzzSeed, mutated, Numbers, weight } from '#test/fuzz';
import { Malformed, Refused } from '#base/errors';
import { toHex } from '#wire/bytes';

/**
 * Every decoder gets inputs that began as good ones: PUSHPOINT_FUZZ=1000000 for a nightly run, PUSHPOINT_FUZZ_SEED to see one again. What
 * comes back is a value whose size follows from that of the input, or Malformed, or Refused; anything else is a defect.
 */

/** No decoder makes more than this of one octet: an empty field of a CSV row is the most. */
const MOST_PER_OCTET = 64;
/** What a result may weigh whatever the input was: the fixed fields of the largest message. */
const FIXED = 4_096;
/** Far more than any takes; a decoder that loops takes longer. */
const MOST_MS = 2_000;

interface Outcome {
  isRefused: boolean;
  ms: number;
}

async function tried(decoder: Decoder, octets: Uint8Array): Promise<Outcome> {
  const from = performance.now();
  try {
    const decoded = decoder.decode(octets);
    const value = decoded instanceof Promise ? await decoded : decoded;
    const most = FIXED + MOST_PER_OCTET * octets.length;
    const weighs = weight(value);
    assert.ok(weighs <= most, `${octets.length} octets became a value of ${weighs}`);
    return { isRefused: false, ms: performance.now() - from };
  } catch (error) {
    if (error instanceof Malformed || error instanceof Refused) return { isRefused: true, ms: performance.now() - from };
    throw error;
  }
}

const decoders = await allDecoders();
const seed = fuzzSeed();
const count = fuzzCount(20_000);

test('the samples themselves are taken', async () => {
  for (const decoder of decoders) {
    for (const sample of decoder.samples) assert.equal((await tried(decoder, sample)).isRefused, false, decoder.name);
  }
});

test(`${count} changed inputs, seed ${seed}`, async (t) => {
  const numbers = new Numbers(seed);
  const refused = new Map<string, number>();
  let slowest = { ms: 0, name: '' };
  for (let i = 0; i < count; i++) {
    // Each decoder has its turn, so that a small run meets them all.
    const decoder = decoders[i % decoders.length]!;
    const octets = mutated(numbers.pick(decoder.samples), numbers, decoder.samples);
    const asked = `PUSHPOINT_FUZZ_SEED=${seed}, input ${i}, ${decoder.name}: ${toHex(octets)}`;
    try {
      const outcome = await tried(decoder, octets);
      if (outcome.ms > slowest.ms) slowest = { ms: outcome.ms, name: decoder.name };
      if (outcome.isRefused) refused.set(decoder.name, (refused.get(decoder.name) ?? 0) + 1);
      assert.ok(outcome.ms < MOST_MS, `it took ${outcome.ms} ms`);
    } catch (error) {
      throw new Error(asked, { cause: error });
    }
  }
  const all = [...refused.values()].reduce((sum, n) => sum + n, 0);
  t.diagnostic(
    `seed ${seed}: ${count} inputs for ${decoders.length} decoders, ${all} refused, the slowest ${slowest.ms.toFixed(1)} ms (${slowest.name})`,
  );
  assert.ok(all > count / 20, 'the changes must hurt, or nothing is tried');
});

/** The key of a sealed archive takes a tenth of a second by design, so these are few. */
const sealedCount = Math.max(40, Math.min(500, count / 1000));

test(`${sealedCount} changed archives that are sealed, seed ${seed}`, async (t) => {
  const numbers = new Numbers(seed);
  const decoder = await sealedArchive();
  assert.equal((await tried(decoder, decoder.samples[0]!)).isRefused, false);
  let refused = 0;
  for (let i = 0; i < sealedCount; i++) {
    const octets = mutated(decoder.samples[0]!, numbers, decoder.samples);
    const isSame = Buffer.compare(octets, decoder.samples[0]!) === 0;
    const outcome = await tried(decoder, octets).catch((cause: unknown) => {
      throw new Error(`PUSHPOINT_FUZZ_SEED=${seed}, sealed input ${i}: ${toHex(octets)}`, { cause });
    });
    if (outcome.isRefused) refused++;
    else assert.ok(isSame, `sealed input ${i}: what was changed must not open`);
  }
  t.diagnostic(`${refused} of ${sealedCount} refused`);
});
