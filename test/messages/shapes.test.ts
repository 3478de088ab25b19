import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '#base/errors';
import {
  Heartbeat,
  Registration,
  StateMessage,
  checked,
  deploymentOutcome,
  deploymentStateText,
  deploymentStates,
  isSmsid,
  matches,
  readMpList,
  smsidOf,
  writeMpList,
} from '#messages';

const machine = {
  name: 'PC042',
  domain: 'CORP',
  fqdn: 'pc042.corp.example',
  addresses: ['10.0.0.42', 'fe80::1'],
  os: { name: 'Windows 10 Enterprise', version: '10.0.19045', type: 'workstation' },
  hardwareId: '2:ABCDEF',
  clientVersion: '1.2.3',
};
const registration = {
  requestId: '0f8fad5b-d9cb-469f-a165-70867728950e',
  publicKey: `${'A'.repeat(123)}=`,
  time: '2026-01-05T08:00:00.000Z',
  ...machine,
};
const malformed = (error: unknown) => isCode(error, 'PP_MSG_MALFORMED');

test('a registration passes, and every string in it has an end', () => {
  assert.ok(checked(Registration, registration, 'registration'));
  const long = 'A'.repeat(5000);
  for (const key of [
    'name',
    'domain',
    'fqdn',
    'hardwareId',
    'clientVersion',
    'publicKey',
    'requestId',
    'architecture',
    'guid',
    'site',
    'tokenId',
    'tokenProof',
    'time',
  ]) {
    assert.throws(() => checked(Registration, { ...registration, [key]: long }, 'registration'), malformed, key);
  }
  assert.throws(
    () => checked(Registration, { ...registration, addresses: Array(33).fill('10.0.0.1') }, 'registration'),
    malformed,
  );
  assert.throws(() => checked(Registration, { ...registration, os: { ...machine.os, name: long } }, 'registration'), malformed);
  assert.throws(() => checked(Registration, { ...registration, name: 'a\r\nb' }, 'registration'), malformed);
  assert.throws(() => checked(Registration, { ...registration, hardwareId: 'a\nb' }, 'registration'), malformed);
});

test('a complaint about a message names the field and not the value', () => {
  assert.throws(
    () => checked(Registration, { ...registration, tokenProof: 'canary-value' }, 'registration'),
    (error) => malformed(error) && /tokenProof/.test(String(error)) && !/canary/.test(String(error)),
  );
});

test('heartbeat and state message have bounds too', () => {
  const heartbeat = {
    guid: 'GUID:0F8FAD5B-D9CB-469F-A165-70867728950E',
    ...machine,
    sequence: 1,
    startedAt: registration.time,
    sentAt: registration.time,
  };
  assert.ok(matches(Heartbeat, heartbeat));
  assert.ok(!matches(Heartbeat, { ...heartbeat, sequence: 0 }));
  assert.ok(!matches(Heartbeat, { ...heartbeat, guid: heartbeat.guid.toLowerCase() }));
  const state = {
    topicType: 800,
    topicId: registration.requestId,
    stateId: 400,
    at: registration.time,
    name: 'PC042',
    domain: '',
  };
  assert.ok(matches(StateMessage, state));
  assert.ok(!matches(StateMessage, { ...state, logTail: 'x'.repeat(16_385) }));
  assert.ok(!matches(StateMessage, { ...state, at: 'now' }));
});

test('SMSIDs are told from what only looks like one', () => {
  assert.ok(isSmsid('GUID:0F8FAD5B-D9CB-469F-A165-70867728950E'));
  for (const no of [
    '0F8FAD5B-D9CB-469F-A165-70867728950E',
    'GUID:0f8fad5b-d9cb-469f-a165-70867728950e',
    'GUID:0F8FAD5B-D9CB-469F-A165-70867728950E\n',
    '',
    5,
    undefined,
  ]) {
    assert.ok(!isSmsid(no), String(no));
  }
  assert.equal(smsidOf('{0f8fad5b-d9cb-469f-a165-70867728950e}'), 'GUID:0F8FAD5B-D9CB-469F-A165-70867728950E');
  assert.equal(smsidOf('guid:0f8fad5b-d9cb-469f-a165-70867728950e'), 'GUID:0F8FAD5B-D9CB-469F-A165-70867728950E');
  assert.equal(smsidOf('PC042'), undefined);
});

test('every deployment state has a text and an outcome that fits its hundred', () => {
  const ids = Object.keys(deploymentStates).map(Number);
  assert.ok(ids.includes(100) && ids.includes(321) && ids.includes(700));
  assert.equal(ids.length, 49);
  for (const id of ids) assert.notEqual(deploymentStateText(id), `State ${id}`);
  assert.deepEqual([100, 321, 400, 606, 700, 0, 999].map(deploymentOutcome), [
    'going',
    'failed',
    'succeeded',
    'failed',
    'succeeded',
    'unknown',
    'unknown',
  ]);
  assert.equal(deploymentStateText(12_345), 'State 12345');
});

const points = [
  { name: 'MP1', fqdn: 'mp1.corp.example', version: '9128', siteCode: 'P01', url: 'http://mp1.corp.example:8480' },
  { name: 'R&D "lab"', fqdn: '', version: '9128', siteCode: 'P01' },
];

test('MPLIST names no site, MPLIST1 does, and both come back', () => {
  const one = writeMpList(points.slice(1), 'MPLIST1').replace('R&amp;D &quot;lab&quot;', 'MP2');
  assert.equal(
    one,
    '<MPList><MP Name="MP2" FQDN="" SiteCode="P01"><Version>9128</Version><Capabilities SchemaVersion="1.0"/></MP></MPList>',
  );
  assert.doesNotMatch(writeMpList(points, 'MPLIST'), /SiteCode/);
  assert.deepEqual(readMpList(writeMpList(points, 'MPLIST1')), points);
});

test('a list as other servers write it is read', () => {
  const xml = `<?xml version="1.0"?>\n<MPList>\n <MP Name='A' FQDN='a.corp'>\n<Version> 6487 </Version><Capabilities SchemaVersion="1.0"><Property Name="SSLState" Value="0"/></Capabilities></MP><MP Name="B" FQDN="b.corp"/></MPList>`;
  assert.deepEqual(readMpList(xml), [
    { name: 'A', fqdn: 'a.corp', version: '6487' },
    { name: 'B', fqdn: 'b.corp', version: '' },
  ]);
});

test('what is no list is refused, and quickly', () => {
  const many = `<MPList>${'<MP Name="A"/>'.repeat(1001)}</MPList>`;
  for (const xml of [
    '',
    '<html>',
    '<!DOCTYPE x><MPList/>',
    '<MPList><MP Name="A">',
    '<MPList><MP Name="A"',
    '<MPList><MP FQDN="x"/></MPList>',
    many,
    `<MPList>${'<MP '.repeat(60_000)}`,
    ' '.repeat(262_145),
  ]) {
    assert.throws(() => readMpList(xml), malformed, xml.slice(0, 40));
  }
});
