import * as Type from 'typebox';
import { Check, Errors } from 'typebox/value';
import { raise } from '#base/errors';

/** Files have a name without any folder; services the names that the service manager takes. */
const FileName = Type.String({ minLength: 1, maxLength: 128, pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$' });
const ServiceName = Type.String({ minLength: 1, maxLength: 256, pattern: '^[A-Za-z0-9 ._-]+$' });
const Line = Type.String({ maxLength: 4096, pattern: '^[^\\u0000-\\u001f\\u007f]*$' });
const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });
const strict = { additionalProperties: false };

/** Definition is the JSON file by which an administrator says what is pushed and how to tell that it runs. */
const Definition = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9][A-Za-z0-9 ._-]*$' }),
    version: Type.String({ minLength: 1, maxLength: 64, pattern: '^[0-9A-Za-z][0-9A-Za-z.+_-]*$' }),
    platform: Type.Union([Type.Literal('windows'), Type.Literal('linux')]),
    bootstrap: Type.Object({ file: FileName, service: ServiceName, arguments: Type.Optional(Line) }, strict),
    payload: Type.Optional(Type.Object({ file: FileName, sha256: Type.Optional(Sha256), command: Type.Optional(Line) }, strict)),
    verify: Type.Object({ service: ServiceName }, strict),
    uninstall: Type.Optional(Type.Object({ file: Type.Optional(FileName), command: Type.Optional(Line) }, strict)),
    requires: Type.Optional(
      Type.Object(
        {
          minimumBuild: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000_000 })),
          architectures: Type.Optional(Type.Array(Type.String({ pattern: '^[A-Za-z0-9_-]{1,16}$' }), { maxItems: 8 })),
          freeBytes: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
          /** Version of Windows Installer: 3.1 is 301. */
          windowsInstaller: Type.Optional(Type.Integer({ minimum: 100, maximum: 9999 })),
          noRestartPending: Type.Optional(Type.Boolean()),
        },
        strict,
      ),
    ),
    /** Installed first, in this order, where what `check` names (a path, or a registry key) is not there. */
    prerequisites: Type.Optional(
      Type.Array(
        Type.Object(
          {
            file: FileName,
            command: Type.String({ minLength: 1, maxLength: 1024, pattern: '^[^\\u0000-\\u001f\\u007f]*$' }),
            check: Type.Optional(Line),
          },
          strict,
        ),
        { maxItems: 8 },
      ),
    ),
    default: Type.Optional(Type.Boolean()),
  },
  strict,
);
export type PackageDefinition = Type.Static<typeof Definition>;

/** packageDefinition checks what was read from a file; it raises PP_PACKAGE_DEFINITION with the first thing that is wrong. */
export function packageDefinition(value: unknown): PackageDefinition {
  if (Check(Definition, value)) return value;
  const first = Errors(Definition, value)[0];
  const where = first?.instancePath ? first.instancePath.slice(1).replaceAll('/', '.') : 'the definition';
  throw raise('PP_PACKAGE_DEFINITION', { where: where.slice(0, 60), why: whyWrong(first) });
}

function whyWrong(error: { keyword: string; message?: string; instancePath: string } | undefined): string {
  if (error?.instancePath === '/platform') return 'it is windows or linux';
  // A schema that lets nothing in is that of a field which nobody knows.
  if (error?.keyword === 'boolean') return 'no package has such a field; look for a slip of the pen';
  return error?.message ?? 'does not have the right form';
}

/** filesOf names the files that a definition needs. */
export function filesOf(definition: PackageDefinition): string[] {
  const first = definition.prerequisites?.map(({ file }) => file) ?? [];
  const files = [definition.bootstrap.file, definition.payload?.file, definition.uninstall?.file, ...first];
  return [...new Set(files.filter((f) => f !== undefined))];
}
