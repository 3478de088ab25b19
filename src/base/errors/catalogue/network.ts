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
} as const satisfies Record<string, Entry>;
