/**
 * Arena: equal-sized records in flat memory, addressed by number, so that a tree of millions of nodes costs the collector nothing.
 * Invariants: a number is live from `allocate` to `free` and is not given out twice meanwhile; freeing a dead one throws.
 * Memory grows by chunks that are never moved or copied, and is reused but not given back.
 */

const CHUNK_BITS = 14
const CHUNK_RECORDS = 1 << CHUNK_BITS
const NO_RECORD = 0xffff_ffff
/** Records of one arena: their numbers, one added and doubled by the tree, must fit 32 bits. */
const RECORDS_MAX = 0x7fff_fffe

/** Records of `strideBytes` bytes, a multiple of 4. */
export class Arena {
  readonly strideBytes: number
  readonly #chunks: Uint8Array[] = []
  readonly #words: Uint32Array[] = []
  readonly #live: Uint8Array[] = []
  #used = 0
  #freed = 0
  #firstFree = NO_RECORD

  constructor(strideBytes: number) {
    this.strideBytes = strideBytes
  }

  /** Records that are live. */
  get size(): number {
    return this.#used - this.#freed
  }

  /** Bytes reserved, live or not, with their marks. */
  get reservedBytes(): number {
    return this.#chunks.length * CHUNK_RECORDS * (this.strideBytes + 1)
  }

  /** Number of a record whose contents are undefined. Throws `RangeError` when the numbers are used up. */
  allocate(): number {
    let number = this.#firstFree
    if (number !== NO_RECORD) {
      this.#firstFree = this.words(number)[this.wordAt(number)] as number
      this.#freed--
    } else {
      number = this.#used
      if (number > RECORDS_MAX) throw new RangeError('arena full')
      if (number >>> CHUNK_BITS === this.#chunks.length) this.#grow()
      this.#used++
    }
    ;(this.#live[number >>> CHUNK_BITS] as Uint8Array)[number & (CHUNK_RECORDS - 1)] = 1
    return number
  }

  /** Gives a record back. Throws `RangeError` if it is not live: freed twice, it would soon hold two nodes at once. */
  free(number: number): void {
    if (!this.isLive(number)) throw new RangeError(`record ${number} is not live`)
    ;(this.#live[number >>> CHUNK_BITS] as Uint8Array)[number & (CHUNK_RECORDS - 1)] = 0
    // The list of free records is threaded through their own first words.
    this.words(number)[this.wordAt(number)] = this.#firstFree
    this.#firstFree = number
    this.#freed++
  }

  /** Whether `number` was allocated and not freed since. */
  isLive(number: number): boolean {
    return this.#live[number >>> CHUNK_BITS]?.[number & (CHUNK_RECORDS - 1)] === 1
  }

  /** The chunk that holds record `number`, whose bytes begin at `byteAt`. */
  bytes(number: number): Uint8Array {
    return this.#chunks[number >>> CHUNK_BITS] as Uint8Array
  }

  /** The same chunk as 32-bit words, where the record begins at `wordAt`. */
  words(number: number): Uint32Array {
    return this.#words[number >>> CHUNK_BITS] as Uint32Array
  }

  /** Offset of record `number` in `bytes(number)`. */
  byteAt(number: number): number {
    return (number & (CHUNK_RECORDS - 1)) * this.strideBytes
  }

  /** Offset of record `number` in `words(number)`. */
  wordAt(number: number): number {
    return (number & (CHUNK_RECORDS - 1)) * (this.strideBytes >>> 2)
  }

  #grow(): void {
    const buffer = new ArrayBuffer(CHUNK_RECORDS * this.strideBytes)
    this.#chunks.push(new Uint8Array(buffer))
    this.#words.push(new Uint32Array(buffer))
    this.#live.push(new Uint8Array(CHUNK_RECORDS))
  }
}
