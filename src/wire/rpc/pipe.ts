/** RpcPipe is a named pipe in message mode, as an SMB session opens it; anything that carries octets both ways can play it. */
export interface RpcPipe {
  /** transact writes one message and gives at most `maxOut` octets of the answer; the rest comes by `read`. */
  transact(request: Uint8Array, maxOut: number): Promise<Uint8Array>;
  write(data: Uint8Array): Promise<void>;
  read(max: number): Promise<Uint8Array>;
  close(): Promise<void>;
}
