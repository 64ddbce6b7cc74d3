/**
 * Frames over a libp2p stream: a varint length, then that many bytes, with back-pressure in both directions.
 * libp2p's own `onDrain`, `for await` and `lpStream` read or write ahead without bound, hence this.
 * Invariants: at most max(`highWaterBytes`, one frame) plus what one window holds is buffered; a length above `frameBytesMax` ends the stream.
 */
import type { Stream } from '@libp2p/interface'
import { pEvent } from 'p-event'
import * as varint from 'uint8-varint'
import { Uint8ArrayList } from 'uint8arraylist'
import { AlthingError } from '../errors.ts'

/** The peer broke the framing: its fault, and the end of its stream. */
export class FrameError extends Error {
  override readonly name = 'FrameError'
}

/** Bounds of one stream, in bytes. */
export type FramedOptions = {
  /** Largest frame accepted. */
  frameBytesMax: number
  /** From here on the sender is paused, unless a reader waits for more. Default 256 KiB. */
  highWaterBytes?: number
}

/** Bytes left to send at which the next frame may follow: enough to keep the line busy. */
const WRITE_LOW_WATER_BYTES = 64 * 1024
/** Bytes of a length prefix: enough for 2^35. */
const PREFIX_BYTES_MAX = 5

/** Reads and writes frames on one stream. One reader at a time. */
export class Framed {
  readonly stream: Stream
  readonly #frameBytesMax: number
  readonly #highWaterBytes: number
  readonly #received = new Uint8ArrayList()
  #wake: PromiseWithResolvers<void> | undefined
  #ended = false
  #error: Error | undefined
  #wantedBytes = 0
  #pausePending = false

  constructor(stream: Stream, { frameBytesMax, highWaterBytes = 256 * 1024 }: FramedOptions) {
    this.stream = stream
    this.#frameBytesMax = frameBytesMax
    this.#highWaterBytes = highWaterBytes
    stream.addEventListener('message', (event) => {
      this.#received.append(event.data)
      this.#throttle()
      this.#poke()
    })
    stream.addEventListener('remoteCloseWrite', () => this.#poke())
    stream.addEventListener('end', () => {
      this.#ended = true
      this.#poke()
    })
    stream.addEventListener('close', (event) => {
      if (event.error !== undefined) this.#error = event.error
      else this.#ended = true
      this.#poke()
    })
  }

  /** Bytes received and not yet read. */
  get bufferedBytes(): number {
    return this.#received.byteLength
  }

  /** The next frame, or undefined after a clean end. Throws FrameError, the stream's error, or the signal's reason. */
  async read(signal?: AbortSignal): Promise<Uint8Array | undefined> {
    let prefixBytes = 1
    for (; ; prefixBytes++) {
      if (prefixBytes > PREFIX_BYTES_MAX) throw new FrameError('length prefix too long')
      if (!(await this.#need(prefixBytes, signal))) {
        if (this.#received.byteLength === 0) return undefined
        throw new FrameError('end of stream in a length')
      }
      if ((this.#received.get(prefixBytes - 1) & 0x80) === 0) break
    }
    const length = varint.decode(this.#received)
    if (length > this.#frameBytesMax) throw new FrameError(`frame of ${length} bytes, limit ${this.#frameBytesMax}`)
    if (!(await this.#need(prefixBytes + length, signal))) throw new FrameError('end of stream in a frame')
    // A copy: a view of a small frame would keep the whole chunk that came off the socket alive for as long as the frame is kept.
    const frame = new Uint8Array(this.#received.subarray(prefixBytes, prefixBytes + length))
    this.#received.consume(prefixBytes + length)
    return frame
  }

  /**
   * Sends one frame and waits until the stream takes more. After `timeoutMs` without any progress: AlthingError NETWORK_TIMEOUT; the frame
   * may be half sent then, so abort the stream. NETWORK_BROKEN if the stream is closed.
   */
  write(frame: Uint8Array, timeoutMs: number): Promise<void> {
    return this.writeAll([frame], timeoutMs)
  }

  /** As `write`, for several frames that leave together: one packet, one encryption, one call of the system. */
  async writeAll(frames: readonly Uint8Array[], timeoutMs: number): Promise<void> {
    const together = new Uint8ArrayList()
    for (const frame of frames) together.append(varint.encode(frame.byteLength), frame)
    if (this.#send(together)) return
    await this.#room('drain', timeoutMs)
    // 'drain' also comes when a window update lets a part of the frame go. Without this, every update of a slow reader would admit
    // one more whole frame into the write buffer.
    while (this.stream.writeBufferLength > WRITE_LOW_WATER_BYTES) await this.#room(['drain', 'idle'], timeoutMs)
  }

  /** Resets the stream. */
  abort(reason: string): void {
    this.stream.abort(new FrameError(reason))
  }

  #send(bytes: Uint8ArrayList): boolean {
    try {
      return this.stream.send(bytes)
    } catch (cause) {
      throw new AlthingError('NETWORK_BROKEN', 'the stream is closed', { cause })
    }
  }

  async #room(events: 'drain' | ('drain' | 'idle')[], timeoutMs: number): Promise<void> {
    try {
      // Not stream.onDrain(): its promise is never armed again after the first wait.
      await pEvent(this.stream, events, { rejectionEvents: ['close'], timeout: timeoutMs })
    } catch (cause) {
      if (cause instanceof Error && cause.name === 'TimeoutError')
        throw new AlthingError('NETWORK_TIMEOUT', 'the peer does not read', { cause })
      throw new AlthingError('NETWORK_BROKEN', 'the stream closed', { cause: this.#error })
    }
  }

  #poke(): void {
    this.#wake?.resolve()
    this.#wake = undefined
  }

  // A reader that waits for more bytes is never throttled: a frame above the high-water mark would dead-lock.
  #isFull(): boolean {
    return this.#received.byteLength >= Math.max(this.#highWaterBytes, this.#wantedBytes)
  }

  // pause() must not run inside a 'message' handler: an outer resume() would undo it at the yamux level.
  #throttle(): void {
    if (this.#pausePending || !this.#isFull()) return
    this.#pausePending = true
    queueMicrotask(() => {
      this.#pausePending = false
      if (this.#isFull() && this.stream.readStatus === 'readable') this.stream.pause()
    })
  }

  async #need(bytes: number, signal: AbortSignal | undefined): Promise<boolean> {
    this.#wantedBytes = bytes
    try {
      while (this.#received.byteLength < bytes) {
        if (this.#error !== undefined) throw this.#error
        // A paused stream may still hold data after it closed: take them before the test for the end.
        if (this.stream.readStatus === 'paused') this.stream.resume()
        if (this.#received.byteLength >= bytes) break
        if ((this.#ended || this.stream.remoteWriteStatus !== 'writable') && this.stream.readBufferLength === 0)
          return false
        await this.#waitForMore(signal)
      }
      return true
    } finally {
      this.#wantedBytes = 0
    }
  }

  async #waitForMore(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    this.#wake ??= Promise.withResolvers<void>()
    const onAbort = (): void => this.#poke()
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      await this.#wake.promise
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
    signal?.throwIfAborted()
  }
}
