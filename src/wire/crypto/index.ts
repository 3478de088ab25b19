export { aeadKey, nonceLength, open, seal, sealParts, type AeadKey, type AeadName } from './aead.ts';
export { kdfCounter } from './kdf.ts';
export { aesCmac, gmac, hmacMd5, md5 } from './mac.ts';
export { md4 } from './md4.ts';
export { Rc4 } from './rc4.ts';
