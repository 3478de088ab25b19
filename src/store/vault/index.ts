export { createVaultKeys, openSealer, openVault, readVaultPublicKey, type VaultOptions } from './vault.ts';
export type { Sealer, Vault } from './seal.ts';
