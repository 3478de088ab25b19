import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gatherer } from '#store/database';

test('a single caller goes at once; those that come while a statement is under way go together in the next', async () => {
  const sent: number[][] = [];
  const gates: (() => void)[] = [];
  const gatherer = new Gatherer<number, number>(async (keys) => {
    sent.push(keys);
    await new Promise<void>((resolve) => gates.push(resolve));
    return keys.map((key) => 10 * key);
  });
  const answers = [1, 2].map((key) => gatherer.ask(key));
  await new Promise(setImmediate);
  answers.push(...[3, 4, 5].map((key) => gatherer.ask(key)));
  assert.deepEqual(sent, [[1, 2]]);
  gates[0]!();
  assert.deepEqual(await Promise.all(answers.slice(0, 2)), [10, 20]);
  await new Promise(setImmediate);
  assert.deepEqual(sent, [
    [1, 2],
    [3, 4, 5],
  ]);
  gates[1]!();
  assert.deepEqual(await Promise.all(answers.slice(2)), [30, 40, 50]);
  answers.push(gatherer.ask(6));
  await new Promise(setImmediate);
  gates[2]!();
  assert.equal(await answers[5], 60);
});

test('a key that is refused fails alone', async () => {
  let statements = 0;
  const gatherer = new Gatherer<number, number>((keys) => {
    statements++;
    return keys.includes(2) ? Promise.reject(new Error('refused')) : Promise.resolve(keys);
  });
  const outcomes = await Promise.allSettled([1, 2, 3].map((key) => gatherer.ask(key)));
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  assert.equal(statements, 4);
});

test('no statement takes more than it may', async () => {
  const sizes: number[] = [];
  const gatherer = new Gatherer<number, number>((keys) => {
    sizes.push(keys.length);
    return Promise.resolve(keys);
  }, 4);
  await Promise.all(Array.from({ length: 10 }, (_, key) => gatherer.ask(key)));
  assert.deepEqual(sizes, [4, 4, 2]);
});
