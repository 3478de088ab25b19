import { systemClock } from '#base/clock';
import { silentLog, ServerLog } from '#base/log';
import { systemRandom } from '#base/random';
import { Ccm, type Network } from '#components/ccm';
import { AccountRecord } from '#records/account';
import { AuditRecord } from '#records/audit';
import { CcrRecord } from '#records/ccr';
import { ClientRecord } from '#records/client';
import { PackageRecord } from '#records/package';
import { ResourceRecord } from '#records/resource';
import { SiteRecord } from '#records/site';
import { ContentStore } from '#store/content';
import { openDatabase } from '#store/database';
import { openVault } from '#store/vault';
import { connectSmb } from '#wire/smb';
import { probeTcp } from '#wire/tcp';
import { gated } from '#test/gate';

/** A process that runs a CCM over a test site and stays at the moment it is told, until it is told to go on; or the test kills it there. */
const [, , folder, url, moment] = process.argv as [string, string, string, string, string];
const clock = systemClock;
const log = silentLog;
const database = await openDatabase({ dataDir: folder, url, clock, log, connections: 5 });
const network: Network = {
  probe: probeTcp,
  async connect(options) {
    const session = await connectSmb(options);
    const leave = session.logoff.bind(session);
    session.logoff = async () => {
      await leave();
      process.send?.('left');
    };
    return session;
  },
  resolve: () => Promise.resolve([]),
};
const ccm = new Ccm({
  database,
  site: new SiteRecord(database, clock, systemRandom),
  account: new AccountRecord(database, clock),
  package: new PackageRecord(database, clock),
  resource: new ResourceRecord(database, clock),
  client: new ClientRecord(database, clock, systemRandom),
  ccr: new CcrRecord(database, clock),
  audit: new AuditRecord(database, clock),
  content: new ContentStore({ dir: `${folder}/content`, random: systemRandom }),
  vault: await openVault({ dir: `${folder}/vault`, env: {} }),
  network: gated(network, (at) => {
    if (at !== moment) return Promise.resolve();
    process.send!('there');
    return new Promise((go) => process.on('message', (order) => order === 'go' && go()));
  }),
  clock,
  random: systemRandom,
  log,
  serverLog: new ServerLog(clock, 'SMS_CLIENT_CONFIG_MANAGER', () => {}),
});
// Should the test die, so does this.
process.on('disconnect', () => process.exit(1));
process.on('message', (order) => {
  if (order !== 'stop') return;
  void ccm
    .stop()
    .then(() => database.close())
    .then(() => process.exit(0));
});
await ccm.start();
process.send!('ready');
