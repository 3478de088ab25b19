import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinMac, tokenKeyOf } from '#messages';
import { hello, LinkSite } from '#test/sites';

test('a token lets one site join, once, while it counts, and only who proves it', async (t) => {
  const parent = await LinkSite.make(t, 'P01');
  await parent.serve();
  const one = await LinkSite.make(t, 'S01', 'secondary');
  const two = await LinkSite.make(t, 'S02', 'secondary');
  const token = await parent.token();
  const secret = token.secret.replace(/^./, (c) => (c === 'A' ? 'B' : 'A'));
  await assert.rejects(one.join(parent, { token: { ...token, secret } }), { code: 'PP_LINK_TOKEN' });
  await assert.rejects(one.join(parent, { token: { ...token, token: 'unheard-of' } }), { code: 'PP_LINK_TOKEN' });
  await one.join(parent, { token });
  await assert.rejects(two.join(parent, { token }), { code: 'PP_LINK_TOKEN_USED', message: /by S01/ });
  assert.deepEqual(
    (await parent.link.list()).map(({ site }) => site),
    ['S01'],
  );
  const old = await parent.token();
  await parent.database.query('update link_token set expires_at = $1 where id = $2', [new Date(0), old.token]);
  await assert.rejects(two.join(parent, { token: old }), { code: 'PP_LINK_TOKEN_EXPIRED' });
  const used = await parent.database.query<{ text: string }>('select t::text as text from link_token t');
  assert.ok(used.every(({ text }) => !text.includes(token.secret)));
});

test('the answer to a join that was lost: the same site asks again with the same token', async (t) => {
  const parent = await LinkSite.make(t, 'P01');
  await parent.serve();
  const child = await LinkSite.make(t, 'S01', 'secondary');
  const token = await parent.token();
  await child.join(parent, { token });
  await child.join(parent, { token });
  const stranger = await LinkSite.make(t, 'S01', 'secondary');
  await assert.rejects(stranger.join(parent, { token }), { code: 'PP_LINK_CODE_USED' });
});

test('two children of one code, the code of the parent, and a code that is deeper down', async (t) => {
  const parent = await LinkSite.make(t, 'P01');
  await parent.serve();
  await (await LinkSite.make(t, 'S01', 'secondary')).join(parent);
  await assert.rejects((await LinkSite.make(t, 'S01', 'secondary')).join(parent), {
    code: 'PP_LINK_CODE_USED',
    message: /a child of P01 has it/,
  });
  await assert.rejects((await LinkSite.make(t, 'P01')).join(parent, { kind: 'primary' }), { code: /CODE_USED|LOOP/ });
  await parent.site.learn({ code: 'S09', kind: 'secondary', parent: 'P02' });
  await assert.rejects((await LinkSite.make(t, 'S09', 'secondary')).join(parent), { code: 'PP_LINK_CODE_USED' });
  const other = await LinkSite.make(t, 'P03');
  await assert.rejects(other.join(parent, { kind: 'primary', branch: ['S01'] }), { code: 'PP_LINK_CODE_USED', message: /S01/ });
  const fresh = await LinkSite.make(t, 'S02', 'secondary');
  const token = await parent.token();
  await assert.rejects(fresh.join(parent, { token, branch: ['P01'] }), { code: 'PP_LINK_LOOP' });
  // Nothing was half done: the token still counts.
  await fresh.join(parent, { token });
});

test('a hierarchy that would bite its tail', async (t) => {
  const [one, two] = [await LinkSite.make(t, 'P01'), await LinkSite.make(t, 'P02')];
  await one.serve();
  await two.serve();
  await two.join(one, { kind: 'primary' });
  await assert.rejects(one.join(two, { kind: 'primary' }), { code: 'PP_LINK_LOOP' });
  assert.equal((await two.link.list()).length, 1);
});

test('nobody joins below a secondary site', async (t) => {
  const secondary = await LinkSite.make(t, 'S01', 'secondary');
  await secondary.serve();
  await assert.rejects((await LinkSite.make(t, 'S02', 'secondary')).join(secondary), { code: 'PP_LINK_PARENT' });
});

test('a parent that is another one than the token says, or that does not know the token, is not believed', async (t) => {
  const [right, wrong] = [await LinkSite.make(t, 'P01'), await LinkSite.make(t, 'P01')];
  await right.serve();
  await wrong.serve();
  const child = await LinkSite.make(t, 'S01', 'secondary');
  await assert.rejects(child.join(wrong, { token: await right.token() }), { code: 'PP_LINK_SIGNATURE' });
  // Even with its own key in the token file: it cannot prove a token that it does not have.
  const token = { ...(await right.token()), publicKey: wrong.key.publicKey };
  await assert.rejects(child.join(wrong, { token }), { code: 'PP_LINK_TOKEN' });
  assert.equal((await child.link.list()).length, 0);
});

test('the proof covers both keys, the code, the kind and what is below', async (t) => {
  const parent = await LinkSite.make(t, 'P01');
  await parent.serve();
  const child = await LinkSite.make(t, 'S01', 'secondary');
  const token = await parent.token();
  const said = await hello(parent.url);
  const join = {
    tokenId: token.token,
    code: 'S01',
    kind: 'secondary' as const,
    publicKey: child.key.publicKey,
    sealKey: child.vault.publicKey,
    branch: [],
    version: '1',
    pin: '',
    nonce: 'n'.repeat(32),
  };
  const mac = joinMac(tokenKeyOf(token.secret), 'child', said, join);
  const other = await LinkSite.make(t, 'S02', 'secondary');
  const changes = {
    code: 'S02',
    kind: 'primary',
    publicKey: other.key.publicKey,
    sealKey: other.vault.publicKey,
    branch: ['S07'],
    pin: 'ab'.repeat(32),
  };
  const post = async (body: unknown) => {
    const answer = await fetch(`${parent.url}/hierarchy/v1/join`, { method: 'POST', body: JSON.stringify(body) });
    return (await answer.json()) as { code?: string; mac?: string };
  };
  for (const [key, value] of Object.entries(changes))
    assert.equal((await post({ ...join, [key]: value, mac })).code, 'PP_LINK_TOKEN', key);
  assert.equal((await post({ ...join, mac: joinMac(tokenKeyOf(token.secret), 'parent', said, join) })).code, 'PP_LINK_TOKEN');
  assert.equal((await post({ ...join, mac: 7 })).code, 'PP_LINK_MALFORMED');
  assert.match((await post({ ...join, mac })).mac!, /^[0-9a-f]{64}$/);
});

test('guessing tokens is made slow', async (t) => {
  const parent = await LinkSite.make(t, 'P01');
  await parent.serve();
  const codes = new Set<number>();
  for (let i = 0; i < 25; i++) codes.add((await fetch(`${parent.url}/hierarchy/v1/join`, { method: 'POST', body: '{}' })).status);
  assert.deepEqual([...codes], [400, 429]);
});
