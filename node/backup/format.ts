/**
 * The form of a backup: everything in one ledger at one moment, and the genesis; no key, no signing record, no setting. Stage: the disk.
 *
 *     "althing backup 1\n"
 *     length (4 bytes) ‖ genesis, in its encoding
 *     for each entry: length of the key (4 bytes, not 0) ‖ length of the value (4 bytes) ‖ key ‖ value
 *     0 (4 bytes) ‖ 40 (4 bytes) ‖ number of entries (8 bytes) ‖ SHA-256 over all before it
 *
 * Invariants: what is read ends with the number and the digest of what was written, or it is refused; memory is one entry.
 */
import { createHash } from 'node:crypto'
import { equalBytes } from '../../protocol/bytes.ts'
import { decodeAs, encodeAs } from '../../protocol/codec.ts'
import { type Genesis, genesisCodec } from '../../protocol/genesis.ts'
import { AlthingError } from '../errors.ts'
import { encodeHeight } from '../store/buckets.ts'
import type { StoreEntry } from '../store/store.ts'

const MAGIC = Buffer.from('althing backup 1\n')
const DIGEST_BYTES = 32
/** Bytes of one part of a backup: a body is the largest, and far smaller. */
export const BACKUP_PART_BYTES_MAX = 64 * 1024 * 1024
/** Bytes gathered before a piece goes out. */
const PIECE_BYTES = 64 * 1024

/** The bytes of a backup of the entries of `walk`, in pieces. Given up early, it ends the walk. */
export async function* backupOf(genesis: Genesis, walk: AsyncIterator<StoreEntry>): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  let pieces: Uint8Array[] = []
  let bytes = 0
  const flush = (): Buffer => {
    const piece = Buffer.concat(pieces)
    pieces = []
    bytes = 0
    hash.update(piece)
    return piece
  }
  try {
    const encoded = encodeAs(genesisCodec, genesis)
    pieces.push(MAGIC, uint32(encoded.length), encoded)
    let count = 0
    for (let next = await walk.next(); next.done !== true; next = await walk.next()) {
      const [key, value] = next.value
      pieces.push(uint32(key.length), uint32(value.length), key, value)
      bytes += key.length + value.length
      count++
      if (bytes >= PIECE_BYTES) yield flush()
    }
    pieces.push(uint32(0), uint32(8 + DIGEST_BYTES), encodeHeight(count))
    yield flush()
    yield hash.digest()
  } finally {
    await walk.return?.()
  }
}

/**
 * The genesis of a backup and its entries, in order. Throws AlthingError BACKUP_MALFORMED at the first byte that is not one of a backup, at the
 * end too: entries before that are only worth something once the end was reached.
 */
export async function readBackup(
  pieces: AsyncIterable<Uint8Array>,
): Promise<{ genesis: Genesis; entries: AsyncIterable<StoreEntry> }> {
  const reader = new Reader(pieces)
  if (!equalBytes(await reader.take(MAGIC.length), MAGIC)) throw malformed('it does not begin as one')
  const genesis = genesisOf(await reader.take(await reader.length()))
  return { genesis, entries: entriesOf(reader) }
}

async function* entriesOf(reader: Reader): AsyncIterable<StoreEntry> {
  for (let count = 0; ; count++) {
    const keyLength = await reader.length()
    const valueLength = await reader.length()
    if (keyLength === 0) {
      const isCount = valueLength === 8 + DIGEST_BYTES && equalBytes(await reader.take(8), encodeHeight(count))
      const digest = reader.digest()
      if (!isCount || !equalBytes(await reader.take(DIGEST_BYTES), digest))
        throw malformed('its bytes are not those that were written')
      if (!(await reader.isAtEnd())) throw malformed('there is something behind its end')
      return
    }
    yield [await reader.take(keyLength), await reader.take(valueLength)]
  }
}

function genesisOf(bytes: Uint8Array): Genesis {
  try {
    return decodeAs(genesisCodec, bytes, 'genesis')
  } catch (error) {
    throw malformed('its genesis is none', error)
  }
}

const malformed = (why: string, cause?: unknown): AlthingError =>
  new AlthingError('BACKUP_MALFORMED', `that is no whole backup: ${why}`, { cause })

function uint32(value: number): Buffer {
  const out = Buffer.alloc(4)
  out.writeUInt32BE(value)
  return out
}

/** Reads given numbers of bytes from pieces of any size, and hashes what was read. */
class Reader {
  readonly #pieces: AsyncIterator<Uint8Array>
  readonly #hash = createHash('sha256')
  #held: Buffer[] = []
  #heldBytes = 0

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]()
  }

  /** SHA-256 of all that was taken. */
  digest(): Uint8Array {
    return this.#hash.copy().digest()
  }

  async length(): Promise<number> {
    const length = Buffer.from(await this.take(4)).readUInt32BE()
    if (length > BACKUP_PART_BYTES_MAX) throw malformed(`a part of ${length} bytes`)
    return length
  }

  async take(length: number): Promise<Uint8Array> {
    while (this.#heldBytes < length) if (!(await this.#more())) throw malformed('it ends too early')
    const all = this.#held.length === 1 ? (this.#held[0] as Buffer) : Buffer.concat(this.#held)
    const taken = Uint8Array.from(all.subarray(0, length))
    this.#held = [all.subarray(length)]
    this.#heldBytes -= length
    this.#hash.update(taken)
    return taken
  }

  async isAtEnd(): Promise<boolean> {
    return this.#heldBytes === 0 && !(await this.#more())
  }

  async #more(): Promise<boolean> {
    let next: IteratorResult<Uint8Array>
    try {
      next = await this.#pieces.next()
    } catch (error) {
      // What cannot be unpacked was cut or changed.
      throw malformed('it cannot be unpacked', error)
    }
    if (next.done === true) return false
    this.#held.push(Buffer.from(next.value))
    this.#heldBytes += next.value.length
    return true
  }
}
