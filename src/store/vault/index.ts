export { createVaultKeys, openSealer, openVault, readVaultPublicKey } from './vault.ts';
export type { Sealer, Vault } from './seal.ts';
