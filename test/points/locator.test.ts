import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checked, Location, SiteInformation } from '#messages';
import { TestSite } from '#test/points';

async function branch(t: Parameters<typeof TestSite.make>[0]) {
  const site = await TestSite.make(t);
  const { site: sites, boundary } = site.records;
  await sites.runs('1.2.3');
  await sites.learn({ code: 'S01', kind: 'secondary', parent: 'P01', version: '1.2.0' });
  await sites.learn({ code: 'P02', kind: 'primary', parent: 'P01' });
  await sites.setPoint('mp', { address: 'http://proxy.corp.example:8480', site: 'S01' }, 'test');
  await boundary.add(['subnet:10.1.0.0/16'], { by: 'test' });
  await boundary.add(['subnet:10.1.7.0/24', 'adsite:Branch'], { site: 'S01', by: 'test' });
  await boundary.add(['subnet:10.9.0.0/16'], { site: 'P02', by: 'test' });
  await boundary.add(['subnet:10.8.0.0/16'], { site: 'P02', roaming: true, by: 'test' });
  const { url } = await site.managementPoint();
  const get = async (path: string) => {
    const answer = await fetch(`${url}${path}`);
    return { status: answer.status, json: (await answer.json()) as Record<string, unknown> };
  };
  return { site, get };
}

test('a machine hears the primary of its boundaries, the version of that site and its management points, at the MP and at the SLP', async (t) => {
  const { get } = await branch(t);
  const own = { site: 'P01', version: '1.2.3', managementPoints: ['http://mp.corp.example:8480'], proxyManagementPoints: [] };
  for (const at of ['/sms_slp', '/ccm_system', '/SMS_SLP']) {
    const { status, json } = await get(`${at}/location?address=10.1.2.3`);
    assert.equal(status, 200);
    assert.deepEqual(checked(Location, json, 'Location'), own);
  }
  assert.deepEqual((await get('/sms_slp/slp.dll?site&ip=10.1.2.3')).json, own);
});

test('a machine in the boundaries of a secondary is told its primary, and the proxy management point to ask first', async (t) => {
  const { get } = await branch(t);
  const told = {
    site: 'P01',
    secondary: 'S01',
    version: '1.2.3',
    managementPoints: ['http://mp.corp.example:8480'],
    proxyManagementPoints: ['http://proxy.corp.example:8480'],
  };
  assert.deepEqual((await get('/sms_slp/location?address=192.0.2.1&address=10.1.7.9')).json, told);
  assert.deepEqual((await get('/sms_slp/location?address=192.0.2.1&adSite=branch')).json, told);
});

test('nobody and only roaming boundaries assign nothing; a site whose version is not known is told without one', async (t) => {
  const { get } = await branch(t);
  const nothing = { managementPoints: [], proxyManagementPoints: [] };
  assert.deepEqual((await get('/ccm_system/location?address=192.0.2.1')).json, nothing);
  assert.deepEqual((await get('/ccm_system/location?address=10.8.1.1')).json, nothing);
  // Without an address that of the connection counts, which is in no boundary here.
  assert.deepEqual((await get('/ccm_system/location')).json, nothing);
  assert.deepEqual((await get('/ccm_system/location?address=10.9.1.1')).json, { site: 'P02', ...nothing });
});

test('a site is told by its code in either case; a code that nobody knows or that is none is refused', async (t) => {
  const { site, get } = await branch(t);
  const own = (await get('/ccm_system/sites/p01')).json;
  assert.deepEqual(checked(SiteInformation, own, 'SiteInformation'), {
    site: 'P01',
    type: 'primary',
    version: '1.2.3',
    build: 123,
    managementPoints: ['http://mp.corp.example:8480'],
  });
  const secondary = (await get('/sms_slp/sites/S01')).json;
  assert.deepEqual([secondary['type'], secondary['parent'], secondary['version']], ['secondary', 'P01', '1.2.0']);
  const unknown = await get('/sms_slp/sites/X99');
  assert.deepEqual([unknown.status, unknown.json['code']], [404, 'PP_SITE_UNKNOWN']);
  const wrong = await get('/sms_slp/sites/..%2f..%2fetc');
  assert.ok(wrong.status === 400 || wrong.status === 404, String(wrong.status));
  await site.records.site.setPoint('mp', { on: false }, 'test');
  await site.records.site.setPoint('fsp', { address: 'http://fsp.corp.example' }, 'test');
  const later = (await get('/sms_slp/sites/P01')).json;
  assert.deepEqual([later['managementPoints'], later['fallbackStatusPoint']], [[], 'http://fsp.corp.example']);
});

test('a locator point that was switched off answers nobody; the management point goes on', async (t) => {
  const { site, get } = await branch(t);
  await site.records.site.setPoint('slp', { address: 'http://slp.corp.example:8480' }, 'test');
  assert.equal((await get('/sms_slp/sites/P01')).status, 200);
  await site.records.site.setPoint('slp', { on: false }, 'test');
  assert.equal((await get('/sms_slp/sites/P01')).status, 404);
  assert.equal((await get('/ccm_system/sites/P01')).status, 200);
});

test('what is no address, and too many of them, are refused', async (t) => {
  const { get } = await branch(t);
  for (const query of [
    "address=10.1.2.3'--",
    'address=%00',
    `adSite=${'x'.repeat(200)}`,
    'adSite=a%0ab',
    'address=1.2.3.4&'.repeat(33),
  ]) {
    const { status, json } = await get(`/sms_slp/location?${query}`);
    assert.deepEqual([status, json['code']], [400, 'PP_MSG_MALFORMED'], query);
  }
});
