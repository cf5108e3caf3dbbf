// The one function of libsodium that is used here; the package brings no types.

declare module 'sodium-native' {
  const sodium: {
    /** Throws when a buffer has the wrong length. */
    crypto_sign_verify_detached(signature: Buffer, message: Buffer, publicKey: Buffer): boolean
  }
  export = sodium
}
