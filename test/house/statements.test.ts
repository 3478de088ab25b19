import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const top = new URL('../..', import.meta.url).pathname;

/** listsWithLimit gives what stands in the parentheses behind each `in (select` of a text that has a limit there. */
function listsWithLimit(text: string): string[] {
  return [...text.matchAll(/\bin\s*\(\s*select\b/gi)].flatMap(({ index }) => {
    const from = text.indexOf('(', index);
    let depth = 0;
    let end = from;
    do depth += text[end] === '(' ? 1 : text[end] === ')' ? -1 : 0;
    while (depth > 0 && ++end < text.length);
    const list = text.slice(from, end + 1);
    return /\blimit\b/i.test(list) ? [list.replaceAll(/\s+/g, ' ').slice(0, 80)] : [];
  });
}

// A queue that has run empty looks to the server as if it always were: when it then fills, a server that has not counted anew joins it with the
// part that is taken by comparing each row with each, which took longer than the 30 seconds that a statement has at 50,000 rows.
test('no statement takes a part of a table by `in (select … limit …)`; it says `= any(array(select … limit …))`, which no figures of the table can spoil', () => {
  assert.equal(listsWithLimit('delete from a where id in (select id from a order by f(id) limit $1)').length, 1);
  assert.equal(listsWithLimit('where (a, b) in (select a, b from c where d = (select 1) limit 5)').length, 1);
  assert.equal(listsWithLimit('where id in (select id from a) order by id limit 5').length, 0);
  const wrong = globSync('src/**/*.{ts,sql}', { cwd: top }).flatMap((file) =>
    listsWithLimit(readFileSync(`${top}/${file}`, 'utf8')).map((list) => `${file}: in ${list}`),
  );
  assert.deepEqual(wrong, []);
});
