import assert from 'node:assert/strict';
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { decodeToken, encodeResponse } from '#wire/auth';
import { fromHex, toHex } from '#wire/bytes';
import { STATUS, statusName, WIN32, win32Name } from '#wire/status';
import { canary, hostAcceptor, pushAuthenticator } from '#test/logon';
import { need } from '#test/need';

type Answer = Record<string, never>;

describe('NTLM and SPNEGO against impacket', need('impacket'), () => {
  let python: ChildProcessWithoutNullStreams;
  let lines: Interface;
  let answers: AsyncIterator<string>;

  before(() => {
    python = spawn('/usr/bin/python3', [fileURLToPath(new URL('ntlm-impacket.py', import.meta.url))], { stdio: 'pipe' });
    python.stderr.pipe(process.stderr);
    lines = createInterface({ input: python.stdout });
    answers = lines[Symbol.asyncIterator]();
  });

  after(async () => {
    python.stdin.end();
    if (python.exitCode === null) await once(python, 'exit');
    lines.close();
  });

  async function impacket(what: string, rest: object = {}): Promise<Answer> {
    python.stdin.write(`${JSON.stringify({ do: what, ...rest })}\n`);
    const line = await answers.next();
    assert.ok(!line.done, 'impacket ended');
    return JSON.parse(line.value) as Answer;
  }

  const account = { username: 'push', domain: 'CORP', password: canary };

  test('impacket as client logs on at our acceptor, in SPNEGO and bare, and both have one session key', async () => {
    for (const bare of [false, true]) {
      const host = hostAcceptor();
      const first = fromHex((await impacket('client_start'))['token']!);
      const challenge = host.accept(bare ? decodeToken(first).token! : first);
      assert.equal(statusName(challenge.status), 'STATUS_MORE_PROCESSING_REQUIRED');
      const wrapped = bare ? encodeResponse({ state: 1, token: challenge.token! }) : challenge.token!;
      const said = await impacket('client_next', { token: toHex(wrapped), ...account });
      const answer = host.accept(fromHex(bare ? said['bare']! : said['token']!));
      assert.equal(statusName(answer.status), 'STATUS_SUCCESS');
      assert.equal(toHex(answer.sessionKey!), said['sessionKey']);
      assert.deepEqual(answer.account, { username: 'push', domain: 'CORP' });
    }
  });

  test('a mechListMIC that impacket signs is taken, and impacket would take ours', async () => {
    const host = hostAcceptor();
    const challenge = host.accept(fromHex((await impacket('client_start'))['token']!));
    const said = await impacket('client_next', { token: toHex(challenge.token!), ...account });
    const token = decodeToken(fromHex(said['token']!)).token!;
    const answer = host.accept(encodeResponse({ token, mic: fromHex(said['clientMic']!) }));
    assert.equal(statusName(answer.status), 'STATUS_SUCCESS');
    const closed = decodeToken(answer.token!);
    assert.ok(closed.kind === 'response' && closed.state === 0);
    assert.equal(toHex(closed.mic!), said['serverMic']);
  });

  test('impacket with a wrong password, an unknown account or a disabled one gets the status for it', async () => {
    const rows: [string, string, string][] = [
      ['push', 'wrong', 'STATUS_LOGON_FAILURE'],
      ['nobody', canary, 'STATUS_LOGON_FAILURE'],
      ['disabled', canary, 'STATUS_ACCOUNT_DISABLED'],
      ['locked', canary, 'STATUS_ACCOUNT_LOCKED_OUT'],
    ];
    for (const [username, password, status] of rows) {
      const host = hostAcceptor();
      const challenge = host.accept(fromHex((await impacket('client_start'))['token']!));
      const said = await impacket('client_next', { token: toHex(challenge.token!), domain: 'CORP', username, password });
      assert.equal(statusName(host.accept(fromHex(said['token']!)).status), status, username);
    }
  });

  test('what our initiator sends is verified by impacket: proof, session key, MIC and mechListMIC; and its closing by us', async () => {
    for (const time of [true, false]) {
      const client = pushAuthenticator();
      const challenge = await impacket('server_challenge', { token: toHex(await client.start()), time });
      const token = await client.next(fromHex(challenge['token']!));
      const seen = await impacket('server_verify', { token: toHex(token!), password: canary });
      assert.deepEqual(
        { ...seen, serverMic: '', sessionKey: '' },
        {
          status: 0,
          username: 'push',
          domain: 'CORP',
          workstation: 'SITE1',
          sessionKey: '',
          micFits: true,
          avFlags: 2,
          targetName: 'cifs/pc7.corp.example',
          clientMicFits: true,
          serverMic: '',
        },
      );
      assert.equal(await client.next(encodeResponse({ state: 0, mic: fromHex(seen['serverMic']!) })), undefined);
      assert.equal(toHex(client.sessionKey()), seen['sessionKey']);
      assert.equal(client.peer?.dnsComputer, 'PC7');
    }
  });

  test('impacket finds a wrong password in what our initiator sends', async () => {
    const client = pushAuthenticator({ password: 'wrong' });
    const challenge = await impacket('server_challenge', { token: toHex(await client.start()), time: true });
    const token = await client.next(fromHex(challenge['token']!));
    const seen = await impacket('server_verify', { token: toHex(token!), password: canary });
    assert.equal(statusName(seen['status']!), 'STATUS_LOGON_FAILURE');
    assert.equal(seen['clientMicFits'], false);
  });

  test('the names of our status tables are those of impacket', async () => {
    const { status, win32 } = (await impacket('codes')) as unknown as Record<'status' | 'win32', Record<string, string>>;
    // [MS-ERREF] has these two; impacket 0.10 does not know them yet.
    const newer = new Set<number>([STATUS.SERVER_UNAVAILABLE, STATUS.SHARE_UNAVAILABLE]);
    for (const code of Object.values(STATUS)) if (!newer.has(code)) assert.equal(statusName(code), status[code]);
    for (const code of Object.values(WIN32)) assert.equal(win32Name(code), win32[code]);
  });
});
