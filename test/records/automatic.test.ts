import assert from 'node:assert/strict';
import { test } from 'node:test';
import { automatic, type AutomaticFacts } from '#records/discovery';

const now = new Date('2026-11-21T12:00:00Z');
const daysAgo = (days: number) => new Date(now.getTime() - days * 86_400_000);

interface Case {
  site?: string;
  enabled?: boolean;
  systems?: AutomaticFacts['push']['systems'];
  siteSystems?: boolean;
  assigned?: string | undefined;
  trusted?: boolean;
  type?: AutomaticFacts['device']['type'];
  installed?: boolean;
  blocked?: boolean;
  isSiteSystem?: boolean;
  excludedBy?: string;
  ccr?: AutomaticFacts['ccr'];
}

function decide(c: Case) {
  return automatic({
    site: c.site ?? 'P01',
    push: { enabled: c.enabled ?? true, systems: c.systems ?? ['workstations', 'servers'], siteSystems: c.siteSystems ?? false },
    device: {
      assignedSite: 'assigned' in c ? c.assigned : 'P01',
      trusted: c.trusted ?? true,
      type: c.type ?? 'workstation',
      client: { installed: c.installed ?? false, blocked: c.blocked ?? false },
    },
    isSiteSystem: c.isSiteSystem ?? false,
    excludedBy: c.excludedBy,
    ccr: c.ccr,
    againDays: 7,
    now,
  });
}

test('what each site does with a machine in the boundaries of a secondary, in the three ways to set discovery and push up', () => {
  // P01 is the primary, S01 its secondary; a DDR at P01 comes to S01 as a PDR, so both decide about the same machine.
  const inSecondary = { assigned: 'S01' };
  const table: [string, Case, boolean, RegExp][] = [
    [
      '1: discovery at P01 only, push nowhere: P01',
      { ...inSecondary, enabled: false },
      false,
      /site-wide push of site P01 is off/,
    ],
    ['1: … P01, its own push on', inSecondary, false, /assigned to site S01/],
    ['1: … S01', { ...inSecondary, site: 'S01', enabled: false }, false, /site-wide push of site S01 is off/],
    ['2: discovery and push at S01: P01', inSecondary, false, /assigned to site S01/],
    ['2: … S01', { ...inSecondary, site: 'S01' }, true, /gets the client/],
    ['3: discovery at P01, push at S01: S01 takes the PDR', { ...inSecondary, site: 'S01' }, true, /gets the client/],
    ['3: … P01', inSecondary, false, /assigned to site S01/],
    ['a machine of the primary itself, at S01', { site: 'S01' }, false, /assigned to site P01/],
    ['only in a roaming boundary, or in none', { assigned: undefined }, false, /assigned to no site/],
  ];
  for (const [what, facts, push, why] of table) {
    const decided = decide(facts);
    assert.equal(decided.push, push, what);
    assert.match(decided.reason, why, what);
  }
});

test('types, site systems, trust, the install flag and earlier CCRs decide in every combination that matters', () => {
  const all: AutomaticFacts['push']['systems'] = ['workstations', 'servers', 'dcs'];
  const table: [Case, boolean, RegExp][] = [
    [{ trusted: false }, false, /what it says of itself/],
    [{ type: 'server' }, true, /./],
    [{ type: 'server', systems: ['workstations'] }, false, /servers are not wanted/],
    [{ type: 'workstation', systems: ['servers'] }, false, /workstations are not wanted/],
    [{ type: 'dc' }, false, /domain controllers are not wanted/],
    [{ type: 'dc', systems: ['dcs'] }, true, /./],
    [{ type: 'unknown' }, false, /type is not known/],
    [{ type: 'unknown', systems: all }, true, /./],
    [{ systems: [] }, false, /not wanted/],
    [{ isSiteSystem: true, type: 'server' }, false, /it is a site system/],
    [{ isSiteSystem: true, type: 'server', systems: all }, false, /it is a site system/],
    [{ isSiteSystem: true, type: 'server', systems: [], siteSystems: true }, true, /./],
    [{ isSiteSystem: true, type: 'dc', siteSystems: true }, false, /domain controllers are not wanted/],
    [{ isSiteSystem: true, type: 'dc', siteSystems: true, systems: ['dcs'] }, true, /./],
    [{ isSiteSystem: true, type: 'server', siteSystems: true, assigned: 'S01' }, false, /assigned to site S01/],
    [{ excludedBy: 'NAS-*' }, false, /push\.exclude leaves it out \(NAS-\*\)/],
    [{ installed: true }, false, /flagged as installed/],
    [{ blocked: true }, false, /blocked/],
    [{ ccr: { state: 'retry', finishedAt: undefined } }, false, /a CCR that is retry/],
    [{ ccr: { state: 'paused', finishedAt: undefined } }, false, /a CCR that is paused/],
    [{ ccr: { state: 'cancelled', finishedAt: daysAgo(400) } }, false, /was cancelled/],
    [{ ccr: { state: 'failed', finishedAt: daysAgo(6) } }, false, /ended failed; another one is made after 2026-11-22/],
    [{ ccr: { state: 'failed', finishedAt: daysAgo(7) } }, true, /./],
    [{ ccr: { state: 'skipped', finishedAt: daysAgo(1) } }, false, /ended skipped/],
    [{ ccr: { state: 'complete', finishedAt: daysAgo(30) } }, true, /./],
  ];
  for (const [facts, push, why] of table) {
    const decided = decide(facts);
    assert.equal(decided.push, push, JSON.stringify(facts));
    assert.match(decided.reason, why, JSON.stringify(facts));
  }
});
