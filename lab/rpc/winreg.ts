import { winreg } from '#wire/rpc';
import { WIN32 } from '#wire/status';
import { offer, serve, type Call, type Handler, type Offer } from './offer.ts';
import { Win32Refusal } from './refusal.ts';
import { RegistryNode, type Hive, type Registry, type RegistryItem } from './registry.ts';

class KeyHandle {
  readonly node: RegistryNode;
  constructor(node: RegistryNode) {
    this.node = node;
  }
}

/** KEY_WRITE and its parts, and the generic right to write; only an administrator has them over the network. */
const WRITE = 0x2 | 0x4 | 0x10000 | 0x40000000 | 0x10000000;

const nodeOf = (call: Call, handle: Uint8Array): RegistryNode => call.handles.get(handle, KeyHandle).node;
const openKeyHandle = (call: Call, node: RegistryNode): Uint8Array => call.handles.open(new KeyHandle(node));

function mayWrite(call: Call): void {
  if (!call.identity.administrator) throw new Win32Refusal(WIN32.ACCESS_DENIED);
}

/** winregOffer is the remote registry of a machine over RPC; only administrators reach it (winreg's own key says so on Windows). */
export function winregOffer(registry: Registry): Offer {
  return offer(winreg.WINREG, [
    ...rootHandlers(registry),
    ...keyHandlers(registry),
    ...listHandlers(),
    ...valueHandlers(registry),
  ]);
}

function rootHandlers(registry: Registry): Handler[] {
  const roots: [typeof winreg.openLocalMachine, Hive][] = [
    [winreg.openClassesRoot, 'HKCR'],
    [winreg.openCurrentUser, 'HKCU'],
    [winreg.openLocalMachine, 'HKLM'],
    [winreg.openUsers, 'HKU'],
  ];
  return roots.map(([operation, hive]) =>
    serve(operation, (_request, call) => {
      mayWrite(call);
      return { key: openKeyHandle(call, registry.hive(hive)), status: 0 };
    }),
  );
}

function keyHandlers(registry: Registry): Handler[] {
  return [
    serve(winreg.closeKey, (request, call) => {
      call.handles.close(request.key);
      return { key: new Uint8Array(20), status: 0 };
    }),
    serve(winreg.openKey, (request, call) => {
      if (request.desiredAccess & WRITE) mayWrite(call);
      return { result: openKeyHandle(call, registry.open(nodeOf(call, request.key), request.subKey ?? '')), status: 0 };
    }),
    serve(winreg.createKey, (request, call) => {
      mayWrite(call);
      const { node, created } = registry.create(nodeOf(call, request.key), request.subKey ?? '');
      return { result: openKeyHandle(call, node), disposition: created ? 1 : 2, status: 0 };
    }),
    serve(winreg.deleteKey, (request, call) => {
      mayWrite(call);
      registry.removeKey(nodeOf(call, request.key), request.subKey ?? '');
      return { status: 0 };
    }),
    // What Windows 10 and its contemporaries answer ([MS-RRP] 3.1.5.24): the version of the registry, not of the system.
    serve(winreg.getVersion, (request, call) => {
      nodeOf(call, request.key);
      return { version: 6, status: 0 };
    }),
  ];
}

function byIndex<T>(items: Iterable<T>, index: number): T {
  const item = [...items][index];
  if (item === undefined) throw new Win32Refusal(WIN32.NO_MORE_ITEMS);
  return item;
}

function listHandlers(): Handler[] {
  return [
    serve(winreg.enumKey, (request, call) => {
      const child = byIndex(nodeOf(call, request.key).children.values(), request.index);
      if (child.name.length + 1 > request.name.capacity) throw new Win32Refusal(WIN32.MORE_DATA);
      return {
        name: { capacity: request.name.capacity, text: child.name },
        className: request.className && { capacity: request.className.capacity, text: '' },
        lastWriteTime: 0n,
        status: 0,
      };
    }),
    serve(winreg.enumValue, (request, call) => {
      const item = byIndex(nodeOf(call, request.key).values.values(), request.index);
      if (item.name.length + 1 > request.valueName.capacity) throw new Win32Refusal(WIN32.MORE_DATA);
      return { valueName: { capacity: request.valueName.capacity, text: item.name }, ...sized(request, item) };
    }),
    serve(winreg.queryInfoKey, (request, call) => {
      const { children, values } = nodeOf(call, request.key);
      const longest = (lengths: number[]) => Math.max(0, ...lengths);
      return {
        className: { capacity: request.className.capacity, text: '' },
        subKeys: children.size,
        maxSubKeyLength: longest([...children.values()].map((c) => c.name.length * 2)),
        maxClassLength: 0,
        values: values.size,
        maxValueNameLength: longest([...values.values()].map((v) => v.name.length * 2)),
        maxValueLength: longest([...values.values()].map((v) => v.data.length)),
        securityDescriptorLength: 0,
        lastWriteTime: 0n,
        status: 0,
      };
    }),
  ];
}

interface SizedRequest {
  data: { capacity: number; octets: Uint8Array } | null;
  dataSize: number | null;
}

/** The size dance of [MS-RRP] 3.1.5.17: without room the size only, with too little of it 234 and the size. */
function sized(request: SizedRequest, item: RegistryItem) {
  const size = item.data.length;
  const fits = request.data !== null && size <= Math.min(request.data.capacity, request.dataSize ?? 0);
  const octets = fits ? item.data : new Uint8Array(0);
  return {
    type: item.type,
    // The room of the array is by definition what dataSize says (size_is), whatever the caller had.
    data: request.data && { capacity: size, octets },
    dataSize: size,
    dataLength: octets.length,
    status: fits || request.data === null ? WIN32.SUCCESS : WIN32.MORE_DATA,
  };
}

function valueHandlers(registry: Registry): Handler[] {
  return [
    serve(winreg.queryValue, (request, call) => sized(request, registry.get(nodeOf(call, request.key), request.valueName ?? ''))),
    serve(winreg.setValue, (request, call) => {
      mayWrite(call);
      registry.set(nodeOf(call, request.key), {
        name: request.valueName ?? '',
        type: request.type,
        data: request.data.slice(0, request.dataSize),
      });
      return { status: 0 };
    }),
    serve(winreg.deleteValue, (request, call) => {
      mayWrite(call);
      registry.unset(nodeOf(call, request.key), request.valueName ?? '');
      return { status: 0 };
    }),
  ];
}
