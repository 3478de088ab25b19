import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import type { MobileClient } from '#messages';
import { HonestMp } from '#test/honest-mp';
import { LinuxTarget } from '#test/linux-push';
import { need } from '#test/need';

/** Which points ccmsetup.sh asks, and what it tells them of itself with a download. */

const file = Buffer.from('what the package brings');

/** Every program that the script may call but those that ask DNS. */
const TOOLS =
  'sh cat tr cut sed awk head od wc sha256sum mkdir rm mv cp date uname df grep chmod sleep setsid tail printf kill curl touch';

/** alone leaves the script with these programs and nothing else; `more` are scripts in place of programs. */
function alone(t: TestContext, target: LinuxTarget, more: Record<string, string>): void {
  const folder = mkdtempSync(join(tmpdir(), 'pushpoint-tools-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const tool of TOOLS.split(' ')) {
    const found = ['/usr/bin', '/bin']
      .map((place) => join(place, tool))
      .find((path) => statSync(path, { throwIfNoEntry: false }));
    if (found !== undefined) symlinkSync(found, join(folder, tool));
  }
  for (const [name, lines] of Object.entries(more)) writeFileSync(join(folder, name), `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
  const path = join(target.folder, 'ccmsetup.sh');
  writeFileSync(path, readFileSync(path, 'utf8').replace(/^PATH=.*$/m, `PATH=${folder}`));
}

/** furnished is a machine whose file names a dead point, and a living one that only DNS knows. */
async function furnished(t: TestContext, tools: (port: string) => Record<string, string>, properties = 'DNSSUFFIX=corp.example') {
  const target = new LinuxTarget(t);
  const mp = await HonestMp.start(t, systemClock);
  const dead = 'http://127.0.0.1:1';
  const { payload } = target.push([dead, mp], file);
  const change: Partial<MobileClient> = { managementPoints: [dead], properties, fallbackStatusPoint: mp.url };
  target.push([dead, mp], file, { ...change, payload: { ...payload, command: 'true' } });
  alone(t, target, tools(new URL(mp.url).port));
  return { target, mp };
}

test('with each download ccmsetup.sh names its push, and only where that was for this machine', need('curl'), async (t) => {
  for (const machine of [undefined, 'SOMEBODY-ELSE']) {
    const target = new LinuxTarget(t);
    const mp = await HonestMp.start(t, systemClock);
    const { payload, registration } = target.push([mp], file);
    const meant = { ...registration!, ...(machine !== undefined && { machine }) };
    target.push([mp], file, { payload: { ...payload, command: 'true' }, registration: meant });
    assert.equal(await target.run(), 0, target.log);
    const named = mp.asked
      .filter(({ path }) => path.startsWith('/CCM_Client'))
      .map(({ headers }) => headers['x-pushpoint-token']);
    assert.deepEqual(named, [machine === undefined ? registration!.tokenId : undefined]);
  }
});

/** What each of them says, as their programs of Debian 12 do; 127.0.0.1 stands for a name. */
const SAID: Record<string, (port: string) => string> = {
  dig: (port) => `echo "0 0 ${port} 127.0.0.1."`,
  host: (port) => `echo "$4 has SRV record 0 0 ${port} 127.0.0.1."`,
  resolvectl: (port) => `echo "$4 IN SRV 0 0 ${port} 127.0.0.1 -- link: eth0"; echo "                127.0.0.1"`,
};

for (const [tool, said] of Object.entries(SAID))
  test(
    `where the points of the file give nothing, ccmsetup.sh asks those that DNS names, by ${tool}`,
    need('curl'),
    async (t) => {
      const { target, mp } = await furnished(t, (port) => ({
        [tool]: `case "$*" in *_mssms_mp_p01._tcp.corp.example*) ;; *) exit 2 ;; esac\n${said(port)}`,
      }));
      assert.equal(await target.run(), 0, target.log);
      assert.match(target.log, /DNS names the management point http:\/\/127\.0\.0\.1:/);
      assert.equal(mp.asks('/CCM_Client').length, 1);
    },
  );

test(
  'where nobody is there to ask DNS the log says so; without DNSSUFFIX, or with one that is no name, nobody is asked',
  need('curl'),
  async (t) => {
    const limits = ['/retry:2', '/downloadtimeout:1'];
    const none = await furnished(t, () => ({}));
    assert.equal(await none.target.run(limits), 6);
    assert.match(none.target.log, /DNS is not asked for management points: neither dig nor host nor resolvectl is there/);
    for (const properties of ['', 'DNSSUFFIX=corp.example;reboot', 'DNSSUFFIX=$(reboot)']) {
      const { target } = await furnished(t, () => ({ dig: `echo asked >&2; echo "0 0 80 127.0.0.1."` }), properties);
      assert.equal(await target.run(limits), 6);
      assert.doesNotMatch(target.log, /DNS/);
    }
  },
);

test('what DNS says and is no point of ours is left out', need('curl'), async (t) => {
  const lines = [
    '0 0 0 mp.',
    '0 0 70000 mp.',
    '0 0 80 -x.',
    '0 0 80 a;b.',
    '0 0 80 $(x).',
    ';; connection timed out',
    '0 0 1 127.0.0.1.',
  ];
  const { target } = await furnished(t, () => ({ dig: `cat <<'EOF'\n${lines.join('\n')}\nEOF` }));
  assert.equal(await target.run(['/retry:2', '/downloadtimeout:1']), 6);
  assert.doesNotMatch(target.log, /DNS names/, 'the last one is in the file already');
});
