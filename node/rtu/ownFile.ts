/**
 * RTU: files of its own that decide whom it believes: what was learnt, whom it trusts, whom it lets in. Signed with the device's key.
 * Invariants: a file that is not as this device wrote it, of this chain and under this name, is an error and never taken for a missing one, since
 * whoever can spoil it could otherwise have himself forgotten. Whoever can read the device's key can sign as well: against root on the machine this
 * is no protection.
 */
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'
import { recover, SIGNATURE_BYTES, sign } from '../../protocol/signature.ts'
import { AlthingError } from '../errors.ts'
import { readOwnFile, replaceFile } from './disk.ts'

/** Whose files they are. */
export type Owner = { readonly chainId: Uint8Array; readonly secretKey: Uint8Array }
/** A file that only this device can write. */
export type OwnFile = {
  /** Its content, undefined if there is none. Rejects with RTU_FILE_ALTERED, RTU_FILE_TOO_LARGE, RTU_READ_FAILED. */
  read(): Promise<Uint8Array | undefined>
  /** Replaces it. Rejects with RTU_WRITE_FAILED. */
  write(content: Uint8Array): Promise<void>
}

/** A line of its own at the end: the signature in hexadecimal. */
const TRAILER_BYTES = 2 * SIGNATURE_BYTES + 2

/** The signed file at `path`; `name` is part of what is signed, so that none can stand for another. */
export function ownFile(path: string, name: string, bytesMax: number, { chainId, secretKey }: Owner): OwnFile {
  const signedBytes = (content: Uint8Array): Uint8Array =>
    new Uint8Array(Buffer.concat([Buffer.from(`${name}\0`), content]))
  const publicKey = toHex(publicKeyOf(secretKey))
  return {
    async read() {
      const bytes = await readOwnFile(path, bytesMax + TRAILER_BYTES)
      if (bytes === undefined) return undefined
      const content = bytes.subarray(0, Math.max(0, bytes.length - TRAILER_BYTES))
      const trailer = Buffer.from(bytes.subarray(content.length)).toString('latin1')
      const signature = /^\n([0-9a-f]{130})\n$/.exec(trailer)?.[1]
      const signer =
        signature === undefined ? undefined : recover('deviceFile', chainId, signedBytes(content), fromHex(signature))
      if (signer === undefined || toHex(signer) !== publicKey)
        throw new AlthingError('RTU_FILE_ALTERED', `${path} is not as this device has signed it`)
      return content
    },
    async write(content) {
      const signature = toHex(sign('deviceFile', chainId, signedBytes(content), secretKey))
      await replaceFile(path, new Uint8Array(Buffer.concat([content, Buffer.from(`\n${signature}\n`)])))
    },
  }
}
