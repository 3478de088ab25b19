import assert from 'node:assert/strict';
import dns from 'node:dns';
import net from 'node:net';
import { test } from 'node:test';
import { Pc } from '#test/pc';
import { TestSite } from '#test/points';

/** A point answers and asks nobody: it must work on a network that leads nowhere, and nothing that a client says may lead it anywhere. */
test('whatever is asked of the points, they connect to nobody but the database and look up no name', async (t) => {
  const site = await TestSite.make(t);
  await site.records.site.setPoint('fsp', { address: 'http://fsp.corp.example:8480' }, 'test');
  await site.records.boundary.add(['subnet:10.0.0.0/8'], { by: 'test' });
  const { url, port } = await site.managementPoint();
  const connected: string[] = [];
  const looked: string[] = [];
  // `fetch` of this test comes to the point itself, and a path is the socket of the database; everything else somebody else connects to.
  const connect = t.mock.method(net.Socket.prototype, 'connect');
  const lookup = t.mock.method(dns, 'lookup');
  const look = (): void => {
    for (const { arguments: args } of connect.mock.calls) {
      const [first] = (Array.isArray(args[0]) ? args[0] : args) as [{ port?: number } | string | undefined];
      if (typeof first !== 'string' && Number(first?.port) !== port) connected.push(JSON.stringify(first));
    }
    for (const { arguments: args } of lookup.mock.calls) if (args[0] !== '127.0.0.1') looked.push(args[0]);
  };
  const pc = new Pc(site, url);
  const evil = 'http://evil.example/';
  const fqdn = 'evil.example';
  assert.equal((await pc.register(pc.registration({ fqdn, addresses: ['192.0.2.66'] }))).status, 200);
  const beat = await pc.beat({ fqdn, domain: fqdn });
  assert.equal(beat.status, 200);
  assert.equal((await pc.post('/ccm_system/state', pc.state(313, { detail: evil, logTail: evil }), pc.signer)).status, 200);
  const policy = await pc.get('/ccm_system/policy');
  assert.equal(policy.status, 200);
  const said = [JSON.stringify(beat.json), policy.text];
  for (const path of [
    '/SMS_MP/.sms_aut?MPLIST',
    '/SMS_MP/.sms_aut?MPKEYINFORMATION',
    '/sms_slp/location?address=10.1.2.3',
    '/ccm_system/sites/P01',
    '/ccm_system/openapi.json',
    '/CCM_Client/ccmsetup.exe',
  ]) {
    const answer = await fetch(`${url}${path}`, { headers: { host: fqdn, 'x-forwarded-host': fqdn, forwarded: `host=${fqdn}` } });
    assert.equal(answer.status, 200, path);
    said.push(Buffer.from(await answer.arrayBuffer()).toString('latin1'));
  }
  const fsp = await fetch(`${url}/sms_fsp/state`, { method: 'POST', body: JSON.stringify(pc.state(313, { detail: evil })) });
  assert.equal(fsp.status, 200);
  look();
  assert.ok(connect.mock.callCount() > 0);
  assert.deepEqual([connected, looked], [[], []]);
  // Clients are told addresses that an administrator wrote, and nothing that came with a request.
  for (const text of said) assert.ok(!text.includes(fqdn), text.slice(0, 300));
});
