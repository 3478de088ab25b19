import * as Type from 'typebox';
import { Instant, text } from './fields.ts';

/** The bounds are those of a message; what is right for a name, an address or a port is told by the record that takes it in, with a reason. */
const Port = Type.Integer({ minimum: 1, maximum: 65_535 });
const Many = Type.Array(text(64), { maxItems: 64 });

/**
 * Ddr is a discovery data record: what one source says of one machine at one time. It is the shape in which every discovery method hands
 * machines in, in which they travel from a child site to its parent, and the JSON of a `.ddr` file.
 */
export const Ddr = Type.Object(
  {
    /** NetBIOS or full DNS name. */
    name: text(255),
    domain: Type.Optional(text(255)),
    fqdn: Type.Optional(text(255)),
    /** The client's SMSID, with or without `GUID:`. */
    guid: Type.Optional(text(64)),
    /** What stays the same when the machine is installed anew, as an SMBIOS UUID does. */
    hardwareId: Type.Optional(text(128)),
    addresses: Type.Optional(Many),
    macs: Type.Optional(Many),
    os: Type.Optional(text(128)),
    osVersion: Type.Optional(text(64)),
    osBuild: Type.Optional(Type.Integer({ minimum: 0, maximum: 2_147_483_647 })),
    architecture: Type.Optional(text(16)),
    type: Type.Optional(
      Type.Union([Type.Literal('workstation'), Type.Literal('server'), Type.Literal('dc'), Type.Literal('unknown')]),
    ),
    adSite: Type.Optional(text(128)),
    /** Container or organizational unit. */
    ou: Type.Optional(text(512)),
    smbPort: Type.Optional(Port),
    sshPort: Type.Optional(Port),
    /** When the source saw the machine; the time of receipt where it is not told. */
    at: Type.Optional(Instant),
    /** Properties with the flag KEY that have no member of their own: two machines never have the same value. */
    keys: Type.Optional(Type.Record(Type.String({ pattern: '^[\\x20-\\x7e]{1,64}$' }), text(256), { maxProperties: 8 })),
  },
  { additionalProperties: false },
);
export type Ddr = Type.Static<typeof Ddr>;
