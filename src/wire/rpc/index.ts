export { openRpc, RpcClient, type RpcOptions } from './client.ts';
export { type Message, type ValueIn } from './ndr/index.ts';
export { type Operation, type RpcInterface } from './operation.ts';
export { type RpcPipe } from './pipe.ts';
export * as pdu from './pdu/index.ts';
export * as svcctl from './svcctl/index.ts';
export * as winreg from './winreg/index.ts';
export * as srvsvc from './srvsvc/index.ts';
export * as lsarpc from './lsarpc/index.ts';
export {
  openServiceManager,
  type ListedService,
  type Service,
  type ServiceConfig,
  type ServiceManager,
  type ServiceReport,
} from './svcctl/index.ts';
export { openRegistry, type RegistryValue, type RegKey, type RemoteRegistry } from './winreg/index.ts';
export { serverInfo, serverTime, shareInfo, type ServerInfo, type ShareInfo } from './srvsvc/index.ts';
