"""One half of an NTLM logon by impacket, driven by JSON lines: {"do": ..., ...} in, one JSON object out for each."""

import hmac
import json
import struct
import sys

from impacket import nt_errors, ntlm, spnego, system_errors
from impacket.smbserver import computeNTLMv2

try:
    from Cryptodome.Cipher import ARC4
except ImportError:
    from Crypto.Cipher import ARC4

NTLMSSP = spnego.TypesMech['NTLMSSP - Microsoft NTLM Security Support Provider']
MECH_LIST = bytes.fromhex('300c060a2b06010401823702020a')
kept = {}


def mic_of(flags, key, side):
    """The mechListMIC of one side, by impacket's own key derivation and signature."""
    handle = ARC4.new(ntlm.SEALKEY(flags, key, side)).encrypt
    return ntlm.SIGN(flags, ntlm.SIGNKEY(flags, key, side), MECH_LIST, 0, handle).getData()


def client_start(_):
    kept['type1'] = ntlm.getNTLMSSPType1('LINUX1', 'CORP', signingRequired=True)
    init = spnego.SPNEGO_NegTokenInit()
    init['MechTypes'] = [NTLMSSP]
    init['MechToken'] = kept['type1'].getData()
    return {'token': init.getData().hex()}


def client_next(asked):
    challenge = spnego.SPNEGO_NegTokenResp(bytes.fromhex(asked['token']))['ResponseToken']
    type3, key = ntlm.getNTLMSSPType3(kept['type1'], challenge, asked['username'], asked['password'], asked['domain'])
    answer = spnego.SPNEGO_NegTokenResp()
    answer['ResponseToken'] = type3.getData()
    flags = kept['type1']['flags']
    return {
        'token': answer.getData().hex(),
        'bare': type3.getData().hex(),
        'sessionKey': key.hex(),
        'clientMic': mic_of(flags, key, 'Client').hex(),
        'serverMic': mic_of(flags, key, 'Server').hex(),
    }


def server_challenge(asked):
    """A CHALLENGE made with impacket's classes; impacket's own server grants no signing, so the flags are given."""
    kept['negotiate'] = spnego.SPNEGO_NegTokenInit(bytes.fromhex(asked['token']))['MechToken']
    type1 = ntlm.NTLMAuthNegotiate()
    type1.fromString(kept['negotiate'])
    kept['type1'] = type1
    pairs = ntlm.AV_PAIRS()
    pairs[ntlm.NTLMSSP_AV_HOSTNAME] = pairs[ntlm.NTLMSSP_AV_DNS_HOSTNAME] = 'PC7'.encode('utf-16le')
    pairs[ntlm.NTLMSSP_AV_DOMAINNAME] = pairs[ntlm.NTLMSSP_AV_DNS_DOMAINNAME] = 'CORP'.encode('utf-16le')
    if asked['time']:
        pairs[ntlm.NTLMSSP_AV_TIME] = struct.pack('<q', 134120448000000000)
    name = 'CORP'.encode('utf-16le')
    challenge = ntlm.NTLMAuthChallenge()
    challenge['flags'] = type1['flags'] | ntlm.NTLMSSP_NEGOTIATE_TARGET_INFO | ntlm.NTLMSSP_TARGET_TYPE_SERVER
    challenge['domain_len'] = challenge['domain_max_len'] = len(name)
    challenge['domain_offset'] = 56
    challenge['challenge'] = b'ABCDEFGH'
    challenge['domain_name'] = name
    challenge['TargetInfoFields_len'] = challenge['TargetInfoFields_max_len'] = len(pairs)
    challenge['TargetInfoFields'] = pairs
    challenge['TargetInfoFields_offset'] = 56 + len(name)
    challenge['Version'] = b'\x0a\x00\x7c\x4f\x00\x00\x00\x0f'
    challenge['VersionLen'] = 8
    kept['challenge'] = challenge
    answer = spnego.SPNEGO_NegTokenResp()
    answer['NegState'] = b'\x01'
    answer['SupportedMech'] = NTLMSSP
    answer['ResponseToken'] = challenge.getData()
    return {'token': answer.getData().hex()}


def server_verify(asked):
    token = bytes.fromhex(asked['token'])
    message = spnego.SPNEGO_NegTokenResp(token)['ResponseToken']
    type3 = ntlm.NTLMAuthChallengeResponse()
    type3.fromString(message)
    challenge = kept['challenge']
    username = type3['user_name'].decode('utf-16le')
    nt_hash = ntlm.compute_nthash(asked['password'])
    lm_hash = ntlm.compute_lmhash(asked['password'])
    status, key = computeNTLMv2(username, lm_hash, nt_hash, challenge['challenge'], type3, challenge, kept['type1'])
    unsigned = message[:72] + b'\x00' * 16 + message[88:]
    mic = hmac.new(key, kept['negotiate'] + challenge.getData() + unsigned, 'md5').digest()
    pairs = ntlm.AV_PAIRS(type3['ntlm'][44:])
    flags = challenge['flags']
    return {
        'status': status,
        'username': username,
        'domain': type3['domain_name'].decode('utf-16le'),
        'workstation': type3['host_name'].decode('utf-16le'),
        'sessionKey': key.hex(),
        'micFits': mic == message[72:88],
        'avFlags': struct.unpack('<L', pairs[ntlm.NTLMSSP_AV_FLAGS][1])[0],
        'targetName': pairs[ntlm.NTLMSSP_AV_TARGET_NAME][1].decode('utf-16le'),
        'clientMicFits': token.endswith(mic_of(flags, key, 'Client')),
        'serverMic': mic_of(flags, key, 'Server').hex(),
    }


def codes(_):
    return {
        'status': {str(code): row[0] for code, row in nt_errors.ERROR_MESSAGES.items()},
        'win32': {str(code): row[0] for code, row in system_errors.ERROR_MESSAGES.items()},
    }


for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps(globals()[asked['do']](asked)), flush=True)
