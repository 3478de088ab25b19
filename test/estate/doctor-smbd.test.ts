import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { test, type TestContext } from 'node:test';
import { checkOf, examined, startDoctor } from '#test/doctor-site';
import { need } from '#test/need';
import { PushSite } from '#test/push-site';
import { startSmbd, type SmbdOptions } from '#test/smbd';

/** doctor against a server that is not ours: Samba as a NAS, as a machine of SMB1 alone, and as one that refuses the password. */

const peers = need('smbd', 'root');

async function estate(t: TestContext, options: SmbdOptions, password?: string, username = 'Administrator') {
  const smbd = await startSmbd(options);
  t.after(() => smbd.stop());
  const site = await PushSite.create();
  t.after(() => site.close());
  await site.addAccount(`%machinename%\\${username}`, { password: password ?? smbd.password });
  // Samba takes its DNS name from the system it runs on, whatever its NetBIOS name is.
  const fqdn = `${hostname().split('.')[0]}.lab.example`;
  await site.importCsv(`name,domain,fqdn,ip,smbPort\r\n${smbd.host},,${fqdn},${smbd.address},${smbd.port}\r\n`);
  const { record } = await startDoctor(t, site);
  return { smbd, record };
}

test('a real Samba is told as no Windows: the way and the logon are well, the push would install nothing', peers, async (t) => {
  const { smbd, record } = await estate(t, {});
  const done = await examined(record, smbd.host);
  for (const name of ['probe', 'smb', 'identity', 'clock', 'logon', 'admin-share'])
    assert.equal(checkOf(done, name).verdict, 'ok', JSON.stringify(checkOf(done, name)));
  assert.match(checkOf(done, 'smb').found, /SMB 3\.1\.1, takes nothing unsigned/);
  assert.match(done.headline!, /^The push to PPSMBD would install nothing: PPSMBD runs Samba .*, not Windows/);
  assert.deepEqual(readdirSync(smbd.folder), [], 'nothing was laid there');
});

test('a real Samba that speaks SMB1 alone is known by it', peers, async (t) => {
  const extra = ['server min protocol = NT1', 'server max protocol = NT1'];
  const { smbd, record } = await estate(t, { encrypt: 'off', extra });
  const smb = checkOf(await examined(record, smbd.host), 'smb');
  assert.deepEqual([smb.verdict, smb.code], ['problem', 'PP_SMB_ONLY_SMB1'], JSON.stringify(smb));
});

test('a real Samba that refuses the password: one logon, and the words of the catalogue', peers, async (t) => {
  const { smbd, record } = await estate(t, {}, 'not the one');
  const logon = checkOf(await examined(record, smbd.host), 'logon');
  assert.deepEqual([logon.verdict, logon.code, logon.win32], ['problem', 'PP_LOGON_FAILURE', 1326]);
});

test(
  'a local account that a real Samba keeps out of ADMIN$: whether it is the built-in Administrator is asked of its LSA',
  peers,
  async (t) => {
    const { smbd, record } = await estate(t, { share: ['invalid users = root'] }, undefined, 'root');
    const asked = async (rid: number) => {
      const set = spawnSync('pdbedit', ['-s', smbd.conf, '-r', '-u', 'root', '-U', `${rid}`], { encoding: 'utf8' });
      assert.equal(set.status, 0, set.stderr);
      const share = checkOf(await examined(record, smbd.host), 'admin-share');
      assert.deepEqual([share.verdict, share.code, share.win32], ['problem', 'PP_SMB_TOKEN_FILTERED', 5], JSON.stringify(share));
      return share;
    };
    const other = await asked(1104);
    assert.match(other.found, /it has RID 1104 there, so it is not the built-in Administrator \(RID 500\)/);
    assert.match(other.remedy!, /or the built-in Administrator/);
    const builtIn = await asked(500);
    assert.match(builtIn.found, /it is the built-in Administrator there \(RID 500\)/);
    assert.match(`${builtIn.cause} ${builtIn.remedy}`, /FilterAdministratorToken = 1.*FilterAdministratorToken = 0/);
  },
);
