import type { Sql } from '#store/database';

/** Unwanted is a package that somebody wants to remove. */
interface Unwanted {
  name: string;
  platform: string;
  isDefault: boolean;
  files: readonly { sha256: string }[];
}

const counted = (n: number, one: string, many: string) => `${n} ${n === 1 ? one : many}`;

/** CCRs that would have nothing to push: they name the package, or name none where it is the default. */
async function ccrsOf(sql: Sql, { name, platform, isDefault }: Unwanted): Promise<string[]> {
  const [row] = await sql.query<{ named: number; unnamed: number }>(
    `select count(*) filter (where package = $1) as named, count(*) filter (where package is null) as unnamed
     from ccr where finished_at is null`,
    [name],
  );
  const { named, unnamed } = row!;
  return [
    ...(named > 0 ? [`${counted(named, 'CCR that is not over names', 'CCRs that are not over name')} it`] : []),
    // What is pushed where nothing is said is the default of Windows.
    ...(isDefault && platform === 'windows' && unnamed > 0
      ? [`it is the default, which ${counted(unnamed, 'CCR', 'CCRs')} will push`]
      : []),
  ];
}

/** Policies whose clients download files that no other package has. */
async function policiesOf(sql: Sql, { name, files }: Unwanted): Promise<string[]> {
  const rows = await sql.query<{ id: number }>(
    `select a.id from policy_assignment a where a.kind = 'upgrade' and a.state in ('active', 'paused', 'stopped') and exists (
       select from jsonb_array_elements(a.wish -> 'files') f where f ->> 'sha256' = any($2)
         and not exists (select from package_file o where o.sha256 = f ->> 'sha256' and o.package <> $1)) order by a.id`,
    [name, files.map(({ sha256 }) => sha256)],
  );
  return rows.map(({ id }) => `policy ${id} upgrades clients to it`);
}

/** usersOf tells who needs a package that somebody wants to remove, in words; nobody is an empty list. */
export async function usersOf(sql: Sql, pack: Unwanted): Promise<string[]> {
  const others = pack.isDefault
    ? await sql.query<{ name: string }>('select name from package where platform = $1 and name <> $2 order by name', [
        pack.platform,
        pack.name,
      ])
    : [];
  return [
    ...(await ccrsOf(sql, pack)),
    ...(await policiesOf(sql, pack)),
    ...(others.length > 0
      ? [
          `it is the default of ${pack.platform} while there is ${others[0]!.name} too; add that one again with "default": true first`,
        ]
      : []),
  ];
}
