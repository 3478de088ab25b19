import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { raise } from '#base/errors';
import { readCcrFile } from '#components/ccm';
import {
  branchTokenId,
  LINK_HEADERS,
  LinkAnswer,
  LinkRequest,
  readBranchToken,
  readClaim,
  readLink,
  readLinkClaim,
  readMobileClient,
  readMpList,
  readPublicKey,
  SIGNATURE_HEADERS,
} from '#messages';
import { parseBoundary } from '#records/boundary';
import { parseDevices } from '#records/resource';
import { Archive, checkArchive } from '#store/archive';
import { Authenticate, AuthenticateHead, avFlags, Challenge, ClientChallenge, decodeToken, namesOf } from '#wire/auth';
import { fromHex, type Bytes } from '#wire/bytes';
import { Framing } from '#wire/http';
import { lsarpc, pdu, srvsvc, svcctl, winreg, type Message, type Operation } from '#wire/rpc';
import * as smb from '#wire/smb';
import { STATUS } from '#wire/status';
import { hostAcceptor, logOn, pushAuthenticator } from './logon.ts';
import { scratch } from './scratch.ts';
import { readRecord, type RecordName } from './smb-record.ts';

/** Decoder is one way in for octets that somebody else made, with good samples of them. */
export interface Decoder {
  name: string;
  samples: Uint8Array[];
  decode(octets: Uint8Array): unknown;
}

const { COMMAND } = smb;
type Body = { decode(octets: Uint8Array, options?: { at?: number; base?: number }): unknown };

const requests: Record<number, Body> = {
  [COMMAND.NEGOTIATE]: smb.NegotiateRequest,
  [COMMAND.SESSION_SETUP]: smb.SessionSetupRequest,
  [COMMAND.LOGOFF]: smb.Logoff,
  [COMMAND.TREE_CONNECT]: smb.TreeConnectRequest,
  [COMMAND.TREE_DISCONNECT]: smb.TreeDisconnect,
  [COMMAND.CREATE]: smb.CreateRequest,
  [COMMAND.CLOSE]: smb.CloseRequest,
  [COMMAND.FLUSH]: smb.FlushRequest,
  [COMMAND.READ]: smb.ReadRequest,
  [COMMAND.WRITE]: smb.WriteRequest,
  [COMMAND.IOCTL]: smb.IoctlRequest,
  [COMMAND.CANCEL]: smb.CancelRequest,
  [COMMAND.ECHO]: smb.Echo,
  [COMMAND.QUERY_DIRECTORY]: smb.QueryDirectoryRequest,
  [COMMAND.QUERY_INFO]: smb.QueryInfoRequest,
  [COMMAND.SET_INFO]: smb.SetInfoRequest,
};
const responses: Record<number, Body> = {
  ...requests,
  [COMMAND.NEGOTIATE]: smb.NegotiateResponse,
  [COMMAND.SESSION_SETUP]: smb.SessionSetupResponse,
  [COMMAND.TREE_CONNECT]: smb.TreeConnectResponse,
  [COMMAND.CREATE]: smb.CreateResponse,
  [COMMAND.CLOSE]: smb.CloseResponse,
  [COMMAND.FLUSH]: smb.FlushResponse,
  [COMMAND.READ]: smb.ReadResponse,
  [COMMAND.WRITE]: smb.WriteResponse,
  [COMMAND.IOCTL]: smb.IoctlResponse,
  [COMMAND.QUERY_DIRECTORY]: smb.QueryDirectoryResponse,
  [COMMAND.QUERY_INFO]: smb.QueryInfoResponse,
  [COMMAND.SET_INFO]: smb.SetInfoResponse,
};

/** Other answers than these have the body of an error. */
const WITH_BODY: readonly number[] = [STATUS.SUCCESS, STATUS.MORE_PROCESSING_REQUIRED, STATUS.BUFFER_OVERFLOW];

/** decodeFrame reads every message of a frame, as the side it is for would, and the contexts of a greeting. */
function decodeFrame(frame: Uint8Array): unknown {
  return smb.splitCompound(frame as Bytes).map((message) => {
    const isResponse = (message.header.flags & smb.FLAG.SERVER_TO_REDIR) !== 0;
    const body = (isResponse ? responses : requests)[message.header.command];
    if (isResponse && !WITH_BODY.includes(message.header.status)) return smb.decodeBody(message, smb.ErrorResponse);
    const value = body?.decode(message.octets, { at: smb.HEADER_SIZE, base: 0 });
    if (message.header.command !== COMMAND.NEGOTIATE) return value;
    return smb.unpackContexts((value as smb.NegotiateResponse).contexts);
  });
}

const records = (...names: RecordName[]) => names.flatMap((name) => readRecord(name).map((line) => line.frame));

const LISTED = {
  fileIndex: 0,
  creationTime: 0n,
  lastAccessTime: 0n,
  lastWriteTime: 1n,
  changeTime: 0n,
  endOfFile: 1n,
  allocationSize: 0n,
  fileAttributes: 32,
  eaSize: 0,
  shortNameLength: 0,
  shortName: new Uint8Array(24),
  reserved2: 0,
  fileId: 0n,
};

/** What stands in the answers to questions about files: each with as many octets as it has at least, or as its own list. */
function fileInformation(): Decoder[] {
  const fixed: [string, Body, number][] = [
    ['FileBasicInformation', smb.FileBasicInformation, 40],
    ['FileStandardInformation', smb.FileStandardInformation, 24],
    ['FileNetworkOpenInformation', smb.FileNetworkOpenInformation, 56],
    ['FileAllInformation', smb.FileAllInformation, 120],
    ['FileDispositionInformation', smb.FileDispositionInformation, 1],
    ['FileEndOfFileInformation', smb.FileEndOfFileInformation, 8],
    ['FileFsSizeInformation', smb.FileFsSizeInformation, 24],
    ['FileFsFullSizeInformation', smb.FileFsFullSizeInformation, 32],
  ];
  const list = [
    { ...LISTED, fileName: 'a.txt' },
    { ...LISTED, fileName: 'folder' },
  ];
  const lists: [string, Body, Uint8Array][] = [
    ['DirectoryList', smb.DirectoryList, smb.DirectoryList.encode(list)],
    ['BothDirectoryList', smb.BothDirectoryList, smb.BothDirectoryList.encode(list)],
    ['FullDirectoryList', smb.FullDirectoryList, smb.FullDirectoryList.encode(list)],
    ['IdFullDirectoryList', smb.IdFullDirectoryList, smb.IdFullDirectoryList.encode(list)],
    ['NamesList', smb.NamesList, smb.NamesList.encode(list)],
    [
      'FileRenameInformation',
      smb.FileRenameInformation,
      smb.FileRenameInformation.encode({ replaceIfExists: 1, rootDirectory: 0n, fileName: 'b.txt' }),
    ],
  ];
  return [
    ...fixed.map(([name, body, size]) => ({ name, samples: [new Uint8Array(size)], decode: (o: Uint8Array) => body.decode(o) })),
    ...lists.map(([name, body, sample]) => ({ name, samples: [sample], decode: (o: Uint8Array) => body.decode(o) })),
  ];
}

/** Frames that no record has: what is rarely said. */
function rareFrames(): Uint8Array[] {
  const answer = { flags: smb.FLAG.SERVER_TO_REDIR };
  const fileId = { persistent: 1n, volatile: 2n };
  return [
    smb.encodeMessage(smb.header({ command: COMMAND.FLUSH }), smb.FlushRequest, { fileId }),
    smb.encodeMessage(smb.header({ command: COMMAND.FLUSH, ...answer }), smb.FlushResponse, {}),
    smb.encodeMessage(smb.header({ command: COMMAND.CANCEL }), smb.CancelRequest, {}),
    smb.encodeMessage(smb.header({ command: COMMAND.TREE_DISCONNECT, ...answer }), smb.TreeDisconnect, {}),
    smb.encodeMessage(smb.header({ command: COMMAND.SET_INFO, ...answer }), smb.SetInfoResponse, {}),
  ];
}

function smbDecoders(): Decoder[] {
  const clear = records('202-signed', '311-signed');
  const opener = new smb.Opener('AES-128-GCM', new Uint8Array(16), 1n);
  const opener2 = new smb.Opener('AES-128-CCM', new Uint8Array(16), 1n);
  const sealed = [
    ...records('311-sealed', '302-sealed').filter((frame) => frame[0] === 0xfd),
    new smb.Sealer('AES-128-GCM', new Uint8Array(16), 1n).seal(clear[0]!),
    new smb.Sealer('AES-128-CCM', new Uint8Array(16), 1n).seal(clear[0]!),
  ];
  const listed = smb.IdBothDirectoryList.encode(['.', 'ccmsetup.exe', 'a'].map((fileName) => ({ ...LISTED, fileName })));
  return [
    { name: 'SMB frame', samples: [...clear, ...rareFrames()], decode: decodeFrame },
    { name: 'SMB header', samples: clear.map((frame) => frame.slice(0, 64)), decode: (octets) => smb.Header.decode(octets) },
    ...fileInformation(),
    {
      name: 'SMB stream',
      samples: clear.slice(0, 12).map((frame) => Uint8Array.from([0, 0, frame.length >> 8, frame.length & 255, ...frame])),
      decode(octets) {
        const frames: unknown[] = [];
        const framer = new smb.Framer(65_536, (frame) => frames.push(frame));
        framer.feed(octets);
        return frames;
      },
    },
    { name: 'sealed SMB frame', samples: sealed, decode: (o) => [opener.open(o as Bytes), opener2.open(o as Bytes)] },
    { name: 'SMB folder', samples: [listed], decode: (octets) => smb.IdBothDirectoryList.decode(octets) },
    {
      name: 'SMB validation',
      samples: [
        smb.ValidateNegotiateResponse.encode({ capabilities: 1, guid: new Uint8Array(16), securityMode: 3, dialect: 0x302 }),
      ],
      decode: (octets) => smb.ValidateNegotiateResponse.decode(octets),
    },
    {
      name: 'SMB question of validation',
      samples: [
        smb.ValidateNegotiateRequest.encode({
          capabilities: 1,
          guid: new Uint8Array(16),
          securityMode: 3,
          dialects: [0x302, 0x311],
        }),
      ],
      decode: (octets) => smb.ValidateNegotiateRequest.decode(octets),
    },
  ];
}

/** The clients of this site read a challenge and the host of a push an answer; both are let run on what was changed. */
async function authDecoders(): Promise<Decoder[]> {
  const tokens: Uint8Array[] = [];
  await logOn(pushAuthenticator(), hostAcceptor(), (token) => {
    tokens.push(token.slice());
    return token;
  });
  const inner = tokens.map((token) => decodeToken(token).token).filter((token) => token !== undefined);
  const [, challenge, authenticate] = inner as [Uint8Array, Uint8Array, Uint8Array];
  const blob = AuthenticateHead.decode(authenticate).ntResponse.slice(16);
  return [
    { name: 'SPNEGO token', samples: tokens, decode: (octets) => decodeToken(octets) },
    {
      name: 'NTLM CHALLENGE',
      samples: [challenge],
      decode(octets) {
        const { targetInfo } = Challenge.decode(octets);
        return [targetInfo, namesOf(targetInfo), avFlags(targetInfo)];
      },
    },
    {
      name: 'NTLM AUTHENTICATE',
      samples: [authenticate],
      decode: (octets) => [AuthenticateHead.decode(octets), Authenticate.decode(octets)],
    },
    { name: 'NTLMv2 response', samples: [blob], decode: (octets) => ClientChallenge.decode(octets) },
    {
      name: 'logon, host side',
      samples: [tokens[0]!, tokens[2]!],
      decode(octets) {
        const acceptor = hostAcceptor();
        return [acceptor.accept(octets).status, acceptor.accept(octets).status];
      },
    },
  ];
}

/** linkMessages are a question and an answer of the line between two sites, each with a batch. */
function linkMessages(): Uint8Array[] {
  const said = { version: '1', sealKey: 'A'.repeat(60), time: '2026-11-20T08:15:00.000Z', session: 's' };
  const items = [{ kind: 'ddr', key: 'PC042', to: 'P01', origin: 'S01', body: { name: 'PC042' } }];
  const moved = { ack: { stream: 1, seq: 2 }, batch: { stream: 1, first: 1, items } };
  const both = [
    { ...said, what: 'send', turn: 1, waitMs: 0, ...moved },
    { ...said, path: ['P01'], ...moved },
  ];
  return both.map((one) => new TextEncoder().encode(JSON.stringify(one)));
}

const rooms: Record<string, object> = { svcctl, winreg, srvsvc, lsarpc };

interface Stub {
  interface: string;
  opnum: number;
  direction: 'request' | 'response';
  hex: string;
}

function rpcDecoders(): Decoder[] {
  const stubs = JSON.parse(readFileSync(new URL('../golden/rpc/stubs.json', import.meta.url), 'utf8')) as Stub[];
  const byMessage = new Map<Message<unknown>, Uint8Array[]>();
  for (const stub of stubs) {
    const operations = Object.values(rooms[stub.interface]!) as Operation<unknown, unknown>[];
    const message = operations.find((one) => one?.opnum === stub.opnum)![stub.direction];
    byMessage.set(message, [...(byMessage.get(message) ?? []), fromHex(stub.hex)]);
  }
  const { PduType, Bind, BindAck, BindNak, Fault, Request, Response } = pdu;
  const bodies = new Map<number, Body>([
    [PduType.BIND, Bind],
    [PduType.BIND_ACK, BindAck],
    [PduType.BIND_NAK, BindNak],
    [PduType.FAULT, Fault],
    [PduType.REQUEST, Request],
    [PduType.RESPONSE, Response],
  ]);
  const result = { result: 0, reason: 0, transfer: pdu.NDR };
  const sizes = { maxTransmit: 4280, maxReceive: 4280, associationGroup: 1 };
  const one = { allocationHint: 4, contextId: 0, cancelCount: 0 };
  const { uuid, version, minorVersion } = svcctl.SVCCTL;
  const contexts = [{ contextId: 0, abstract: { uuid, version, minorVersion }, transfers: [pdu.NDR] }];
  const stub = new Uint8Array(12);
  const pdus = [
    pdu.encodePdu(PduType.BIND, 1, Bind.encode({ ...sizes, contexts })),
    pdu.encodePdu(PduType.BIND_ACK, 1, BindAck.encode({ ...sizes, secondaryAddress: '\\PIPE\\ntsvcs', results: [result] })),
    pdu.encodePdu(PduType.BIND_NAK, 1, BindNak.encode({ reason: 4, versions: new Uint8Array(3) })),
    pdu.encodePdu(PduType.FAULT, 2, Fault.encode({ ...one, status: 5, tail: new Uint8Array(4) })),
    pdu.encodePdu(PduType.REQUEST, 2, Request.encode({ allocationHint: 12, contextId: 0, opnum: 12, stub })),
    pdu.encodePdu(PduType.RESPONSE, 2, Response.encode({ ...one, stub })),
  ];
  return [
    {
      name: 'RPC stream',
      samples: pdus,
      decode(octets) {
        const stream = new pdu.PduStream('stream');
        stream.push(octets.subarray(0, octets.length >> 1));
        stream.push(octets.subarray(octets.length >> 1));
        const list: unknown[] = [];
        for (let next = stream.next(); next; next = stream.next()) {
          const body = bodies.get(next.header.type);
          if (body) list.push(pdu.bodyOf(next, body as typeof Response));
        }
        return list;
      },
    },
    { name: 'RPC header', samples: pdus, decode: (octets) => pdu.PduHeader.decode(octets) },
    {
      name: 'SERVICE_STATUS_PROCESS',
      samples: [new Uint8Array(36)],
      decode: (octets) => svcctl.ServiceStatusProcess.decode(octets),
    },
    ...[...byMessage].map(([message, samples]) => ({
      name: `NDR ${message.name}`,
      samples,
      decode: (octets: Uint8Array) => message.decode(octets),
    })),
  ];
}

/** The headers of a signed message, as a client sends them. */
const CLAIM = {
  [SIGNATURE_HEADERS.client]: 'GUID:01234567-89AB-CDEF-0123-456789ABCDEF',
  [SIGNATURE_HEADERS.time]: '2026-01-12T08:00:00.000Z',
  [SIGNATURE_HEADERS.nonce]: 'n'.repeat(22),
  [SIGNATURE_HEADERS.signature]: `${'A'.repeat(86)}==`,
};
const PUBLIC_KEY = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  .publicKey.export({ format: 'der', type: 'spki' })
  .toString('base64');

const text = (lines: string) => new Uint8Array(Buffer.from(lines, 'latin1'));
const wide = (lines: string) => new Uint8Array(Buffer.from(`\ufeff${lines}`, 'utf16le'));

function fileDecoders(): Decoder[] {
  const ccr = [
    '[NT Client Configuration Request]',
    'Machine Name = PC042',
    'Domain=CORP',
    'IP Address 1=192.0.2.7',
    'Forced CCR=TRUE',
    'Initial Request Date=01/05/2026 08:00:00',
    '[IP Address ]',
    'IP Address 1=2001:db8::7',
    '[Resource Names ]',
    'Resource Names 1=PC042.corp.example',
    '[Request Processing]',
    'Last Error Code=53',
    '[IDENT]',
    'TYPE=Client Config Request File',
    '',
  ].join('\r\n');
  const tcf = [
    '[Client Install]',
    'Install=INSTALL=ALL SMSSITECODE=P01',
    '[Site]',
    'SiteCode=P01',
    'MP=http://mp1.corp.example:8480;https://mp2.corp.example',
    '[Payload]',
    'File=client.mjs',
    `SHA256=${'ab'.repeat(32)}`,
    'Size=4711',
    'Version=1.2.3',
    '[Registration]',
    'Machine=PC042',
    'TokenId=tok_12345678',
    `Token=${'q'.repeat(43)}`,
    'Expires=2026-01-12T08:00:00.000Z',
  ].join('\r\n');
  const list =
    '<MPList><MP Name="MP1" FQDN="mp1.corp.example" SiteCode="P01"><Version>1042</Version><Capabilities SchemaVersion="1.0"><Property Name="PushpointUrl" Value="http://mp1:8480"/></Capabilities></MP><MP Name="B&amp;&#65;&#x42;"/></MPList>';
  const csv =
    'name;domain;ip;os;type;mac\r\nPC042;CORP;192.0.2.7;"Windows ""11""";workstation;00:11:22:33:44:55\r\nSRV1;CORP;;;server;\r\n';
  const json = JSON.stringify([
    { name: 'PC042', domain: 'CORP', addresses: ['192.0.2.7'], smbPort: 445, macs: ['001122334455'] },
  ]);
  return [
    {
      name: 'CCR file',
      samples: [text(ccr), wide(ccr), text('[NT Client Configuration Request]\nMachine Name=A')],
      decode: readCcrFile,
    },
    { name: 'mobileclient.tcf', samples: [text(tcf), wide(tcf)], decode: readMobileClient },
    {
      name: 'claim of a signed message',
      samples: [text(Object.values(CLAIM).join('\n'))],
      decode(octets) {
        const values = Buffer.from(octets).toString('latin1').split('\n');
        return readClaim(Object.fromEntries(Object.keys(CLAIM).map((name, i) => [name, values[i]])));
      },
    },
    {
      name: 'registration token of a branch',
      samples: [
        text(branchTokenId({ issuer: 'S01', peer: 'P01', expiresAt: new Date(0), machine: 'PC042', random: new Uint8Array(12) })),
      ],
      decode: (octets) => readBranchToken(Buffer.from(octets).toString('latin1')),
    },
    {
      name: 'message between sites',
      samples: linkMessages(),
      decode: (octets) => [octets.includes(0x77) ? readLink(LinkRequest, octets) : readLink(LinkAnswer, octets)],
    },
    {
      name: 'claim of a message between sites',
      samples: [text(`S01\nP01\n2026-11-20T08:15:00.000Z\n${'n'.repeat(22)}\n${'A'.repeat(86)}==`)],
      decode(octets) {
        const values = Buffer.from(octets).toString('latin1').split('\n');
        return readLinkClaim(Object.fromEntries(Object.values(LINK_HEADERS).map((name, i) => [name, values[i]])));
      },
    },
    {
      name: 'public key of a client',
      samples: [text(PUBLIC_KEY)],
      decode(octets) {
        readPublicKey(Buffer.from(octets).toString('latin1'));
        return undefined; // a key is an object of OpenSSL, which is as large as any other
      },
    },
    {
      name: 'HTTP framing',
      samples: [
        text('SMS_POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: b\r\n\r\n'),
        text(
          'POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\nCCM_POST / HTTP/1.1\r\nHost: b\r\n\r\n',
        ),
      ],
      decode(octets) {
        const framing = new Framing();
        const half = octets.length >> 1;
        const framed = [octets.slice(0, half), octets.slice(half)].map((part) => framing.push(part));
        const poisoned = framed.findIndex((one) => one.poisoned);
        if (poisoned === 0 && framed[1]!.octets.length > 0) throw new Error('something came through after the poison');
        const out = framed.reduce((sum, one) => sum + one.octets.length, 0) + framing.end().length;
        if (poisoned < 0 && out !== octets.length) throw new Error(`${octets.length} octets came in and ${out} go on`);
        // Refused as a decoder refuses.
        if (poisoned >= 0) throw raise('PP_WIRE_MALFORMED', { message: 'HTTP', field: 'head', offset: 0, why: 'poisoned' });
        return framed;
      },
    },
    {
      name: 'boundary',
      samples: [text('subnet:10.1.0.0/16'), text('range:10.0.0.1-10.0.0.9'), text('ipv6:2001:db8::/48'), text('adsite:Berlin')],
      decode: (octets) => parseBoundary(Buffer.from(octets).toString('utf8')),
    },
    { name: 'MPList', samples: [text(list)], decode: (octets) => readMpList(Buffer.from(octets).toString('utf8')) },
    { name: 'device CSV', samples: [text(csv), wide(csv)], decode: (octets) => parseDevices(octets, 'csv') },
    { name: 'device JSON', samples: [text(json)], decode: (octets) => parseDevices(octets, 'json') },
  ];
}

const PASSPHRASE = 'a passphrase of some length';

/** archive is a reader of backups and exports, with the octets of a small one; what is read is written into a file first, as restore finds it. */
async function archive(name: string, passphrase?: string): Promise<Decoder> {
  const folder = mkdtempSync(join(scratch, 'pushpoint-archive-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const made = join(folder, 'made');
  const written = await Archive.inFile(made, { passphrase, madeAt: new Date(0) });
  await written.add('manifest.json', text('{"version":1}'));
  await written.add('tables/01-site/00001.jsonl.gz', new Uint8Array(700).fill(7));
  await written.add('empty', new Uint8Array(0));
  await written.end();
  const file = join(folder, 'read');
  return {
    name,
    samples: [new Uint8Array(readFileSync(made))],
    async decode(octets) {
      writeFileSync(file, octets);
      const { sums, kept, octets: size } = await checkArchive({ file, passphrase }, () => true);
      return [size, [...sums], [...kept]];
    },
  };
}

/** sealedArchive is apart from the others: its key takes time by design. */
export function sealedArchive(): Promise<Decoder> {
  return archive('sealed archive', PASSPHRASE);
}

/** allDecoders is every reader of foreign octets that the product has below HTTP. */
export async function allDecoders(): Promise<Decoder[]> {
  return [...smbDecoders(), ...(await authDecoders()), ...rpcDecoders(), ...fileDecoders(), await archive('archive')];
}
