import { svcctl, type RemoteRegistry } from '#wire/rpc';
import { Target } from '../attempt/target.ts';

/** StillTarget is a machine that is only looked at: whoever opens the pipe of the registry on a server starts its service, so it looks whether that runs. */
export class StillTarget extends Target {
  override async registry(): Promise<RemoteRegistry | undefined> {
    const manager = await this.services();
    const service = await manager.open('RemoteRegistry', svcctl.ServiceRight.QUERY_STATUS);
    if (!service) return undefined;
    try {
      if ((await service.status()).state !== 'running') return undefined;
    } finally {
      await service.close();
    }
    return super.registry();
  }
}
