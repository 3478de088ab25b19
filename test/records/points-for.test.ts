import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pointsFor, type Branch, type Point } from '#records/site';

/** Which management points the client of a machine is told of (D1). */

const sites: Branch['sites'] = [
  { code: 'P00', kind: 'primary', parent: undefined },
  { code: 'P01', kind: 'primary', parent: 'P00' },
  { code: 'S01', kind: 'secondary', parent: 'P01' },
  { code: 'S02', kind: 'secondary', parent: 'P01' },
  { code: 'P02', kind: 'primary', parent: 'P00' },
  { code: 'S09', kind: 'secondary', parent: 'P02' },
];
const mp = (site: string, on = true): Point => ({
  site,
  kind: 'mp',
  address: `http://mp.${site.toLowerCase()}`,
  on,
  pin: undefined,
});

function asked(here: string, points: Point[], assigned?: string): string {
  const branch = { here: sites.find(({ code }) => code === here)!, sites, points };
  return pointsFor('mp', branch, assigned)
    .map(({ site }) => site)
    .join(' ');
}

const all = sites.map(({ code }) => mp(code));

test('a machine of a secondary asks its proxy MP, then the primary; without a proxy MP the primary only', () => {
  for (const here of ['P01', 'S01']) {
    assert.equal(asked(here, all, 'S01'), 'S01 P01');
    assert.equal(asked(here, [mp('P01'), mp('S01', false)], 'S01'), 'P01');
    assert.equal(asked(here, [mp('P01')], 'S01'), 'P01');
  }
});

test('a machine of the primary, of nobody, or of another primary asks the primary that pushes', () => {
  for (const assigned of ['P01', 'P00', 'P02', 'S09', 'X99', undefined]) assert.equal(asked('P01', all, assigned), 'P01');
});

test('a secondary pushes with what it has: its own MP or that of its parent, never that of another secondary', () => {
  assert.equal(asked('S01', all, undefined), 'S01 P01');
  assert.equal(asked('S01', all, 'S02'), 'S01 P01');
  assert.equal(asked('S01', [mp('S01')], 'S01'), 'S01');
  assert.equal(asked('S01', [mp('S02'), mp('P00')], 'S01'), '', 'then a push is refused');
});
