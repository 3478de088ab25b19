import type { Entry } from '../entry.ts';

/** networkErrors: the way to a machine, and what the bytes on it must be. */
export const networkErrors = {
  PP_NET_REFUSED: {
    origin: 'unreachable',
    message: 'nothing listens on {address}:{port}: the connection was refused',
    win32: 53,
    http: 502,
    cause: 'The machine is on, but its Server service is stopped or a firewall rejects the port.',
    remedy:
      'Start the Server service (LanmanServer) on the machine and allow File and Printer Sharing (TCP 445) through its firewall.',
    again: 'retry',
  },
  PP_NET_SILENT: {
    origin: 'unreachable',
    message: '{address}:{port} did not answer within {ms} ms',
    win32: 53,
    http: 504,
    cause: 'The machine is off, is not on this network, has another address now, or a firewall drops the packets.',
    remedy: 'Switch the machine on, check that its name resolves to its present address, and allow TCP 445 from the site server.',
    again: 'retry',
  },
  PP_NET_UNROUTABLE: {
    origin: 'unreachable',
    message: 'there is no route to {address}:{port}',
    win32: 53,
    http: 502,
    cause: 'The site server has no network route to that address, or a router says that the host is not there.',
    remedy: 'Check the address, the routes of the site server and the VPN or VLAN the machine is in.',
    again: 'retry',
  },
  PP_NET_NAME_UNKNOWN: {
    origin: 'unreachable',
    message: 'the name {host} has no address',
    win32: 53,
    http: 502,
    cause: 'The name is in no DNS zone that the site server can ask, and the machine was imported without an address.',
    remedy: 'Add the machine to DNS, or import it with its address.',
    again: 'retry',
  },
  PP_NET_CLOSED: {
    origin: 'unreachable',
    message: 'the connection to {address}:{port} was closed while {doing}',
    win32: 64,
    http: 502,
    cause: 'The machine went down or restarted, the network was cut, or a security product on the way closed the session.',
    remedy: 'Wait for the next try; if it happens each time, look at the firewall or endpoint protection between the two.',
    again: 'retry',
  },
  PP_NET_TIMEOUT: {
    origin: 'timeout',
    message: '{host} did not finish {doing} within {ms} ms',
    win32: 1460,
    http: 504,
    cause: 'The machine is overloaded, shutting down, or hangs in that operation.',
    remedy: 'Wait for the next try; if it happens each time, restart the machine or look at its load.',
    again: 'retry',
  },
  PP_WIRE_MALFORMED: {
    origin: 'malformed',
    message: 'field {field} at offset {offset} of {message} is wrong: {why}',
    win32: 1003,
    http: 502,
    cause:
      'What answered does not speak the protocol correctly: it is no Windows machine, or something on the way changes the data.',
    remedy: 'Check what listens at that address; if it is a Windows machine, report this with the hex window from the log.',
    again: 'retry',
  },
  PP_AUTH_WEAK: {
    origin: 'refused',
    message: '{target} would take a weaker logon than is allowed: {what}',
    win32: 1825,
    http: 502,
    cause:
      'The machine or something on the way took back what a safe NTLMv2 logon needs (128-bit keys, signing, key exchange, extended session security, the names of the target).',
    remedy:
      'Update the machine if it is older than Windows Vista; on a newer one look for a policy on NTLM session security or for something between the two that changes the logon. No proof of the password was sent.',
    again: 'wait',
  },
  PP_AUTH_UNPROVEN: {
    origin: 'refused',
    message: '{target} did not prove that the logon was left unchanged: {what}',
    win32: 1397,
    http: 502,
    cause:
      'The proof that ends a logon is missing or wrong: something between the two changes the logon, or the server is no sound SMB server.',
    remedy:
      'Find out what stands between the site server and the machine (proxy, WAN accelerator, inspection) and take it out of the way of TCP 445.',
    again: 'wait',
  },
  PP_AUTH_MECHANISM: {
    origin: 'refused',
    message: '{target} does not take {mechanism} for the logon',
    win32: 1937,
    http: 502,
    cause: 'The machine accepts another kind of logon only, mostly because a policy restricts incoming NTLM.',
    remedy:
      'Configure a Kerberos realm for the site, or allow NTLM from the site server in the policy "Network security: Restrict NTLM" of the machine.',
    again: 'wait',
  },
  PP_AUTH_INCOMPLETE: {
    origin: 'refused',
    message: '{target} called the logon finished before it was',
    win32: 1825,
    http: 502,
    cause: 'The machine let the logon through without checking it, as for a guest, or does not follow the protocol.',
    remedy:
      'Disable guest access on the machine (the Guest account, "map to guest" on Samba) and check what listens at its address.',
    again: 'wait',
  },
  PP_AUTH_ACCOUNT_NAME: {
    origin: 'misconfigured',
    message: 'the account name {account} cannot be used for a logon: {why}',
    win32: 1315,
    http: 422,
    cause: 'A Windows account name has 1 to 256 characters, and a backslash or line break in it is a mistake of typing.',
    remedy: 'Enter the account as DOMAIN\\user, HOST\\user or user@domain.',
    again: 'wait',
  },
} as const satisfies Record<string, Entry>;
